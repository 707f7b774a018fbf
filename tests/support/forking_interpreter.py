"""A new Python process that imports libraries once, and runs each piece of code in a fork of itself.

For tests of what imports do, each of which needs a process in which nothing else has been imported or used.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

COLLECTOR_OFF = """
import gc
gc.disable()
"""
"""Nearly all objects made by imports live on: looking for garbage among them takes about a fifth of the time."""
SERVER = """
import json, os, sys
gc.freeze()
for line in sys.stdin:
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.dup2(writing, 1)
        exec(json.loads(line))
        sys.stdout.flush()
        os._exit(0)
    os.close(writing)
    with open(reading) as output:
        text = output.read()
    print(json.dumps([os.waitstatus_to_exitcode(os.wait()[1]), text]), flush=True)
"""
"""A fork ends without freeing its objects: that would copy the pages of all of them."""


class ForkingInterpreter:
    """The process, as its client."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def output(self, code: str) -> str:
        """What the code prints, in a fork of the process as its first code left it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(code), file=self._process.stdin, flush=True)
        status, text = json.loads(self._process.stdout.readline())
        assert status == 0, "its traceback is in the captured stderr"
        return str(text).strip()


@contextlib.contextmanager
def forking_interpreter(first: str) -> Iterator[ForkingInterpreter]:
    """The process has run `first`, whose names the other code can use. It must not print, nor start a thread."""
    command = [sys.executable, "-c", COLLECTOR_OFF + first + SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield ForkingInterpreter(process)
