"""`helm test`: checks that the gateway is ready, accepts its API keys, and rejects requests without one."""

import http.client
import os
import pathlib
import signal
import sys
import time

HOST, PORT = os.environ["GATEWAY_HOST"], int(os.environ["GATEWAY_PORT"])
KEYS_DIR = os.environ.get("KEYS_DIR")
TRIES, WAIT_SECONDS = 30, 5

# PID 1 of a container receives only signals that it handles.
signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))


def ask(path: str, headers: dict[str, str]) -> tuple[int, str]:
    """Status and body of the response. Raises if there is none."""
    connection = http.client.HTTPConnection(HOST, PORT, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(2000).decode(errors="replace")
    finally:
        connection.close()


def expect(status: int, path: str, headers: dict[str, str]) -> None:
    """Retry until the status is as expected; exit after the last try."""
    for _ in range(TRIES):
        try:
            found, said = ask(path, headers)
        except (OSError, http.client.HTTPException) as error:
            found, said = 0, str(error)
        if found == status:
            print(f"GET {path}: {found}, as expected", flush=True)
            return
        print(f"GET {path}: {found} instead of {status}: {said}", flush=True)
        time.sleep(WAIT_SECONDS)
    sys.exit(f"the gateway at {HOST}:{PORT} did not answer {status} to GET {path}")


def any_key(folder: str) -> str:
    """One key of the mounted Secret. Names that begin with `..` belong to the mount."""
    files = sorted(each for each in pathlib.Path(folder).iterdir() if not each.name.startswith(".."))
    if not files:
        sys.exit(f"no API key in {folder}: the Secret is empty")
    return files[0].read_text(encoding="utf-8").strip()


expect(200, "/readyz", {})
if KEYS_DIR:
    expect(401, "/jobs", {})
    expect(200, "/jobs", {"Authorization": f"Bearer {any_key(KEYS_DIR)}"})
else:
    expect(200, "/jobs", {})
