"""The warm parent: loads the libraries of one package once and forks itself for every client.

A process without threads: what it forks is as good as a new interpreter that has imported the same. It ends when the
last test process that holds it has ended. Started by `installation.py` with the package, the path of its socket and a
file descriptor that counts as the first holder.
"""

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import random
import resource
import runpy
import selectors
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, NoReturn

HOLD = b"hold"
RUNNER = "darkroom_runner.main"
"""Starts its work with `sys.executable`; imports nothing that the warm parent of its package hasn't."""
ENTRY_POINTS = ("main", "worker", "__main__")
"""Modules that a fork runs as `__main__`: importing them before would be once too often."""
DISPOSABLE = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
RUNNER_LIBRARIES = (
    ("torch", ()),
    ("torch.utils.checkpoint", ()),
    ("numpy", ("random",)),
    ("av", ()),
    ("redis", ()),
    ("httpx", ()),
    ("boto3", ("client",)),
    ("botocore.config", ()),
    ("DeepCache", ("DeepCacheSDHelper",)),
    ("peft", ("LoraConfig", "get_peft_model_state_dict")),
    (
        "transformers",
        (
            *("CLIPTextModel", "CLIPTextModelWithProjection", "CLIPTokenizer", "CLIPVisionModelWithProjection"),
            *("CLIPImageProcessor",),
        ),
    ),
    (
        "diffusers",
        (
            *("StableDiffusionXLPipeline", "StableVideoDiffusionPipeline", "AutoencoderKL", "UNet2DConditionModel"),
            *("AutoencoderKLTemporalDecoder", "UNetSpatioTemporalConditionModel", "EulerDiscreteScheduler"),
            *("DDPMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler", "EulerAncestralDiscreteScheduler"),
            *("UniPCMultistepScheduler", "HeunDiscreteScheduler"),
        ),
    ),
)
"""What a run loads, and the classes that the lazy packages load on first use."""


class Forked(Exception):  # noqa: N818 (no error: it unwinds the server in the new process)
    """Raised in the fork, with what it is to run."""

    def __init__(self, request: dict[str, Any], descriptors: list[int]) -> None:
        self.request, self.descriptors = request, descriptors


class Server:
    """One thread, which accepts clients, forks, and reports how forks end."""

    def __init__(self, path: str, first_holder: int) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._holders = {first_holder: socket.socket(fileno=first_holder)}
        self._clients: dict[int, socket.socket] = {}
        """By the process id of what was forked for them."""
        self._wakeup, ours = socket.socketpair()
        for each in (self._wakeup, ours):
            each.setblocking(False)
        self._ours = ours
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(ours.fileno())
        for each in (self._listener, self._wakeup, *self._holders.values()):
            self._selector.register(each, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until no test process is left. Raises `Forked` in forks."""
        while self._holders:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept(self._listener.accept()[0])
                elif key.fileobj is self._wakeup:
                    self._wakeup.recv(4096)
                    self._report_ended()
                else:
                    self._selector.unregister(key.fileobj)
                    self._holders.pop(key.fd).close()

    def _accept(self, client: socket.socket) -> None:
        # A client that dies half way is no reason to end.
        try:
            head, descriptors, _, _ = socket.recv_fds(client, 4, 4)
            if head == HOLD:
                self._holders[client.fileno()] = client
                self._selector.register(client, selectors.EVENT_READ)
                client.sendall(b"y")
                return
            request = json.loads(_receive(client, int.from_bytes(head)))
        except (OSError, ValueError):
            client.close()
            return
        self._fork(client, request, descriptors)

    def _fork(self, client: socket.socket, request: dict[str, Any], descriptors: list[int]) -> None:
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (self._listener, self._wakeup, self._ours, client, *self._holders.values()):
                each.close()
            for each in self._clients.values():
                each.close()
            self._selector.close()
            raise Forked(request, descriptors)
        for each in descriptors:
            os.close(each)
        pidfd = os.pidfd_open(pid)
        self._clients[pid] = client
        with contextlib.suppress(OSError):
            socket.send_fds(client, [b"p"], [pidfd])
        os.close(pidfd)

    def _report_ended(self) -> None:
        for pid in list(self._clients):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended == pid:
                with self._clients.pop(pid) as client, contextlib.suppress(OSError):
                    client.sendall(str(status).encode())


def _receive(client: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        part = client.recv(length - len(received))
        if not part:
            raise OSError("the client has left")
        received += part
    return received


def preload(package: str) -> dict[str, str]:
    """Import what the package's programs import. Nothing is computed, so that no library starts a thread.

    Returns the variables that libraries set as they are imported.
    """
    given = dict(os.environ)
    # As a run does it, see darkroom_runner's garbage collector control: about a fifth of the time.
    gc.disable()
    if package == "darkroom_runner":
        _preload_runner_libraries()
    for each in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if each.name.rpartition(".")[2] not in ENTRY_POINTS:
            importlib.import_module(each.name)
    # As a run does it after its imports; also, a collection in a fork would copy the pages of all these objects.
    gc.freeze()
    gc.enable()
    assert threading.active_count() == 1, threading.enumerate()
    assert len(os.listdir("/proc/self/task")) == 1
    return {name: value for name, value in os.environ.items() if name not in given}


def _preload_runner_libraries() -> None:
    from darkroom_runner.run.library_logging import configure_library_logging

    configure_library_logging()
    for library, names in RUNNER_LIBRARIES:
        module = importlib.import_module(library)
        for name in names:
            getattr(module, name)


def become(request: dict[str, Any], descriptors: list[int], set_by_imports: dict[str, str]) -> None:
    """Take over the client's process state, and reset what a new interpreter would have drawn or cached itself."""
    *streams, leash = descriptors
    os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    _die_with(leash)
    os.chdir(request["directory"])
    os.umask(request["umask"])
    os.setpriority(os.PRIO_PROCESS, 0, request["priority"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in DISPOSABLE:
        if number in request["ignored"]:
            signal.signal(number, signal.SIG_IGN)
        elif number != signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
    for limit, soft, hard in request["limits"]:
        resource.setrlimit(limit, (soft, hard))
    os.environ.clear()
    ours = tempfile.gettempdir()
    tempfile.tempdir = None
    os.environ.update(request["environment"])
    if request["module"] == RUNNER:
        # Its work gets what libraries set as they are imported in the fork that imports them.
        sys.executable, set_by_imports = str(Path(sys.executable).with_name("forking-python")), {}
    for name, value in set_by_imports.items():
        # torch names a folder in the temporary folder.
        os.environ.setdefault(name, value.replace(ours, tempfile.gettempdir(), 1))
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()


def _die_with(leash: int) -> None:
    """SIGKILL as soon as the client's end of the pipe closes, see F_SETSIG in fcntl(2)."""
    fcntl.fcntl(leash, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(leash, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(leash, fcntl.F_SETFL, fcntl.fcntl(leash, fcntl.F_GETFL) | os.O_ASYNC)
    with selectors.PollSelector() as poll:
        poll.register(leash, selectors.EVENT_READ)
        if poll.select(0):
            os._exit(1)


def main() -> NoReturn:
    package, path, first_holder = sys.argv[1:]
    from client import import_time_settings
    from image_steps import VARIABLE, set_image_steps
    from shared_caches import read_s3_data, share_botocore_data

    del sys.path[0]  # This folder, because it was run by path.
    settings = {"socket": path, "package": package, "import_time": import_time_settings(package)}
    Path(sys.executable).with_name("warm-parent.json").write_text(json.dumps(settings))
    set_by_imports = preload(package)
    if "boto3" in sys.modules:
        share_botocore_data()
        read_s3_data()
    gc.freeze()
    try:
        Server(path, int(first_holder)).serve()
    except Forked as fork:
        request, descriptors = fork.request, fork.descriptors
    else:
        sys.exit()
    become(request, descriptors, set_by_imports)
    if VARIABLE in os.environ:
        set_image_steps(int(os.environ[VARIABLE]))
    _leave(run(request["module"], request["arguments"]))


def run(module: str, arguments: list[str]) -> int:
    """As `python -m`, in this process. Its exit code; exceptions other than SystemExit are the interpreter's."""
    sys.modules.pop(module, None)
    sys.argv = [module, *arguments]
    sys.path.insert(0, os.getcwd())
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return leaving.code or 0
        raise
    return 0


def _leave(code: int) -> NoReturn:
    """Do what an interpreter does at its end, except for freeing each object: that would copy every page."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


if __name__ == "__main__":
    main()
