"""State of the process that a run may change outside its models, put back after each run. Used by `warm_runs`.

Environment, working directory, signal handlers and the garbage collector are restored; random generators are seeded
anew. Settings of torch are only compared, and so are threads: what changed them may still be at work, and
the process must end.
"""

import gc
import os
import random
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class ProcessState:
    """The state when this was created: before the first run."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._directory = os.getcwd()
        self._handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self._collector = (gc.isenabled(), gc.get_threshold())
        self._torch_settings: dict[str, Any] | None = None

    def restore(self) -> str | None:
        """Restore what a run has changed; returns what can't be restored, as part of a sentence. Main thread only.

        The first run imports the libraries. The variables that they add to the environment stay, and torch's settings
        after it are those that later runs must leave unchanged.
        """
        if self._torch_settings is None:
            self._environment = {**os.environ, **self._environment}
        if os.environ != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        os.chdir(self._directory)
        self._restore_handlers()
        _set_collector(*self._collector)
        reset_random_numbers()
        return self._torch_difference() or _left_threads()

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            # None: installed by C code, which Python can neither read nor restore.
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    def _torch_difference(self) -> str | None:
        if "torch" not in sys.modules:
            return None
        settings = _torch_settings()
        before, self._torch_settings = self._torch_settings or settings, settings
        changed = [name for name, value in settings.items() if before[name] != value]
        return f"the run changed torch's settings: {', '.join(changed)}" if changed else None


def _set_collector(enabled: bool, threshold: tuple[int, int, int]) -> None:
    gc.set_threshold(*threshold)
    if enabled:
        gc.enable()
    else:
        gc.disable()


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Temporary files that libraries make without a folder of their own are in `folder`, and deleted with it."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def reset_random_numbers() -> None:
    """Seed the global generators from the system's entropy, as in a new process."""
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].seed()


def _torch_settings() -> dict[str, Any]:
    import torch

    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "cuDNN benchmark": torch.backends.cudnn.benchmark,
        "cuDNN deterministic": torch.backends.cudnn.deterministic,
        "precision of matrix products": torch.get_float32_matmul_precision(),
    }


def _left_threads() -> str | None:
    """Daemon threads may end later: such as the sender of progress, while Redis does not answer."""
    left = [each.name for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]
    return f"the run left threads: {', '.join(left)}" if left else None
