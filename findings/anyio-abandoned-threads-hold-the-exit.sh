#!/usr/bin/env bash
# anyio 4.16.0: to_thread.run_sync(..., abandon_on_cancel=True) lets go of the caller, but not of the process.
#
# Expected: work that was abandoned by its cancelled caller is given up; the event loop ends, and so does the process.
# Seen: asyncio.run() returns at once, then the interpreter waits for the abandoned thread: anyio's worker threads are
# no daemon threads. A server with such work on a stalled connection ends only after that connection's own timeout.
# Output: the loop ended after 0.1 s, the process after 3.2 s.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check anyio==4.16.0
cat > "$folder/abandon.py" <<'PY'
import asyncio
import threading
import time

from anyio import to_thread

begun_to_work = threading.Event()


def stall() -> None:
    begun_to_work.set()
    time.sleep(3)


async def main() -> None:
    caller = asyncio.create_task(to_thread.run_sync(stall, abandon_on_cancel=True))
    while not begun_to_work.is_set():
        await asyncio.sleep(0.01)
    caller.cancel()
    try:
        await caller
    except asyncio.CancelledError:
        pass


begun = time.monotonic()
asyncio.run(main())
print(f"the loop ended after {time.monotonic() - begun:.1f} s", flush=True)
PY
begun=$(date +%s%N)
"$folder/venv/bin/python" "$folder/abandon.py"
milliseconds=$((( $(date +%s%N) - begun ) / 1000000))
echo "the process ended after $milliseconds ms"
[ "$milliseconds" -ge 3000 ] || { echo "the behaviour has changed: the process did not wait" >&2; exit 1; }
