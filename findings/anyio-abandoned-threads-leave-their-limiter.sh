#!/usr/bin/env bash
# anyio 4.16.0 (Python 3.11)
#
# Expected: a CapacityLimiter(2) that is given to anyio.to_thread.run_sync bounds the threads that work at the same time to
# two, also those that were abandoned at a timeout (abandon_on_cancel=True): they still run.
#
# Behaviour: an abandoned call gives its token back at once, while its thread goes on. With a server that hangs, each
# timeout makes room for one more thread that hangs: ten calls with a limit of two leave ten threads in the same function.
# A limit that holds has to be released by the function's own end.
#
# Seen:
#   threads at work: 10, limit: 2, tokens borrowed: 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check anyio==4.16.0
cat > "$folder/check.py" <<'PYTHON'
import threading

import anyio

at_work = 0
go = threading.Event()
lock = threading.Lock()


def hang():
    global at_work
    with lock:
        at_work += 1
    go.wait()


async def main():
    limiter = anyio.CapacityLimiter(2)
    for _ in range(10):
        with anyio.move_on_after(0.5):
            await anyio.to_thread.run_sync(hang, abandon_on_cancel=True, limiter=limiter)
    print(f"threads at work: {at_work}, limit: 2, tokens borrowed: {limiter.borrowed_tokens}")
    go.set()
    assert at_work == 10
    assert limiter.borrowed_tokens == 0


anyio.run(main)
PYTHON
"$folder/venv/bin/python" "$folder/check.py"
