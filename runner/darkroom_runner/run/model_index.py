"""transformers' index of its models, kept in a file, so that a run does not build it from 2,500 source files.

    python -m darkroom_runner.run.model_index        write the file for the installed transformers

At every import transformers (5.23.0) reads all source files of its models to list the classes that each defines: 0.4 s
of CPU time, and 45 MB from the disk of a node that has just pulled the image. The images and `make setup` write the
file. Without it, or with one of another version, transformers builds its index as usual.
"""

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

_BUILDER = "transformers.utils.import_utils"
_BUILD = "define_import_structure"

Index = list[tuple[list[str], dict[str, list[str]]]]
"""Class names by module, for each set of libraries that they need."""


def index_file() -> Path:
    """The file of the installed version, in the virtual environment."""
    return Path(sys.prefix) / "share" / "darkroom" / f"transformers-{version('transformers')}.json"


def main() -> None:
    """Write the file. The same packages give the same bytes."""
    built = getattr(importlib.import_module(_BUILDER), _BUILD)(str(_models_folder()))
    index = sorted(
        (sorted(needs), {module: sorted(names) for module, names in sorted(modules.items())})
        for needs, modules in built.items()
    )
    file = index_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(index, separators=(",", ":")))
    print(f"wrote {file}")


@contextmanager
def stored_model_index(file: Path | None = None) -> Iterator[None]:
    """Import transformers inside the block: it takes its index from the file, by default that of its version."""
    index = None if _BUILDER in sys.modules else _read(file or index_file())
    if index is None:
        yield
        return
    hook = _AfterImport(_BUILDER, lambda module: _use(index, module))
    sys.meta_path.insert(0, hook)
    try:
        yield
    finally:
        sys.meta_path.remove(hook)


def _read(file: Path) -> Index | None:
    """None for a file that is missing or can't be read."""
    try:
        index: Index = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return index


def _use(index: Index, builder: Any) -> None:
    build = getattr(builder, _BUILD)
    models = _models_folder()

    def stored(module_path: Any, prefix: str | None = None) -> Any:
        if Path(module_path) not in (models, models / "__init__.py"):
            return build(module_path, prefix)
        start = f"{prefix}." if prefix else ""
        return {
            frozenset(needs): {start + module: set(names) for module, names in modules.items()}
            for needs, modules in index
        }

    setattr(builder, _BUILD, stored)


def _models_folder() -> Path:
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("transformers is not installed")
    return Path(spec.origin).parent / "models"


class _AfterImport(MetaPathFinder, Loader):
    """Calls a function with one module as soon as that module has been executed."""

    def __init__(self, name: str, act: Callable[[ModuleType], None]) -> None:
        self._name, self._act = name, act
        self._loader: Loader | None = None

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path) if fullname == self._name else None
        if spec is not None:
            self._loader, spec.loader = spec.loader, self
        return spec

    def exec_module(self, module: ModuleType) -> None:
        if self._loader is None or module.__spec__ is None:
            raise ImportError(f"{self._name} has no loader")
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._act(module)


if __name__ == "__main__":
    main()
