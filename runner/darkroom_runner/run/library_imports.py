"""Imports the libraries of a run in a thread, while its input is fetched.

Imports take seconds of CPU time, and most of what a run does before it needs them is waiting for servers. `lifecycle`
starts the thread as soon as it knows the kind of job. `unused_parts` and `model_index` make them shorter.
"""

import importlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from darkroom_runner.run.model_index import stored_model_index
from darkroom_runner.run.unused_parts import unused_parts_hidden


class LibraryImports:
    """Imports modules one after the other in a thread."""

    def __init__(self, prepare: Callable[[], None], modules: Sequence[str]) -> None:
        self._prepare, self._modules = prepare, modules
        self.cancelled = threading.Event()
        self._error: Exception | None = None
        self._shortened = ExitStack()
        self._thread = threading.Thread(target=self._import, name="imports")
        self._thread.start()

    def wait(self) -> None:
        """Wait until all are imported. Raises what an import raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Import no further module, wait for the one that is being imported, and let all others be imported in full.

        A process must not exit in the middle of an import: Python would end the thread inside a library's C++ code.
        """
        self.cancelled.set()
        self._thread.join()
        self._shortened.close()

    def _import(self) -> None:
        try:
            self._shortened.enter_context(unused_parts_hidden())
            self._shortened.enter_context(stored_model_index())
            if self.cancelled.is_set():
                return
            self._prepare()
            for name in self._modules:
                if self.cancelled.is_set():
                    return
                importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 (raised in `wait`)
            self._error = error


@contextmanager
def imports_in_background(prepare: Callable[[], None], modules: Sequence[str]) -> Iterator[LibraryImports]:
    """Call `prepare`, then import the modules, while the block runs; the block's end cancels the rest.

    Loading a model inside the block does without the unused parts, too.
    """
    imports = LibraryImports(prepare, modules)
    try:
        yield imports
    finally:
        imports.close()
