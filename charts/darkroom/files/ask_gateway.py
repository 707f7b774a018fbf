"""`helm test`: whether the gateway is ready, whether it knows its keys, and whether it turns others away."""

import http.client
import os
import pathlib
import signal
import sys
import time

HOST, PORT = os.environ["GATEWAY_HOST"], int(os.environ["GATEWAY_PORT"])
KEYS_DIR = os.environ.get("KEYS_DIR")
TRIES, WAIT_SECONDS = 30, 5

# The first process of a container gets no signal that it does not handle.
signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to end"))


def ask(path: str, headers: dict[str, str]) -> tuple[int, str]:
    """Status and body of an answer; whatever is no answer is raised."""
    connection = http.client.HTTPConnection(HOST, PORT, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(2000).decode(errors="replace")
    finally:
        connection.close()


def expect(status: int, path: str, headers: dict[str, str]) -> None:
    """Until it is so, or patience is at its end."""
    for _ in range(TRIES):
        try:
            found, said = ask(path, headers)
        except (OSError, http.client.HTTPException) as error:
            found, said = 0, str(error)
        if found == status:
            print(f"GET {path}: {found}, as it should be", flush=True)
            return
        print(f"GET {path}: {found}, not {status}: {said}", flush=True)
        time.sleep(WAIT_SECONDS)
    sys.exit(f"the gateway at {HOST}:{PORT} did not answer {status} to GET {path}")


def any_key(folder: str) -> str:
    """One of the Secret's; what begins with `..` is the mount's own."""
    files = sorted(each for each in pathlib.Path(folder).iterdir() if not each.name.startswith(".."))
    if not files:
        sys.exit(f"there is no API key in {folder}: the Secret is empty")
    return files[0].read_text(encoding="utf-8").strip()


expect(200, "/readyz", {})
if KEYS_DIR:
    expect(401, "/jobs", {})
    expect(200, "/jobs", {"Authorization": f"Bearer {any_key(KEYS_DIR)}"})
else:
    expect(200, "/jobs", {})
