"""A new Python process that imports libraries once, and runs each piece of code in a fork of itself.

For tests of what imports do, each of which needs a process in which nothing else has been imported or used.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

SERVER = """
import json, os, sys
for line in sys.stdin:
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.dup2(writing, 1)
        exec(json.loads(line))
        sys.exit()
    os.close(writing)
    with open(reading) as output:
        text = output.read()
    print(json.dumps([os.waitstatus_to_exitcode(os.wait()[1]), text]), flush=True)
"""


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
    command = [sys.executable, "-c", first + SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield ForkingInterpreter(process)
