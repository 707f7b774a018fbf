"""The stored index of transformers' models equals the one that transformers builds, and reads no sources."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.forking_interpreter import ForkingInterpreter, forking_interpreter

from darkroom_runner.run.model_index import index_file, stored_model_index

FIRST = """
import json, sys, torch
from pathlib import Path
from darkroom_runner.run.model_index import stored_model_index
"""
IMPORT = """
read = set()
sys.addaudithook(lambda event, arguments: event == "open" and read.add(str(arguments[0])))
with stored_model_index(Path({file!r})):
    import transformers
    from transformers.models.auto.configuration_auto import AutoConfig
sources = [path for path in read if "/transformers/models/" in path and path.endswith(".py")]
structures = [transformers._import_structure, transformers.models._import_structure]
classes = [dict((module, sorted(names)) for module, names in each.items()) for each in structures]
print(json.dumps([len(sources) > 100, classes], sort_keys=True))
print(transformers.BertModel.__module__, transformers.CLIPTextModel.__module__)
"""


@pytest.fixture(scope="module")
def interpreter() -> Iterator[ForkingInterpreter]:
    """torch, which transformers needs, is imported once for all tests."""
    with forking_interpreter(FIRST) as interpreter:
        yield interpreter


@pytest.fixture(scope="module")
def imported(interpreter: ForkingInterpreter) -> Callable[[Path], list[str]]:
    """What transformers is, imported with a file."""
    return lambda file: interpreter.output(IMPORT.format(file=str(file))).splitlines()


@pytest.fixture(scope="module")
def stored(interpreter: ForkingInterpreter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, written into another environment than the tests' own."""
    prefix = tmp_path_factory.mktemp("environment")
    code = f"import sys; sys.prefix = {str(prefix)!r}\nfrom darkroom_runner.run.model_index import main; main()"
    interpreter.output(code)
    [file] = prefix.rglob("*.json")
    assert file.relative_to(prefix) == index_file().relative_to(sys.prefix)
    return file


def test_stored_index_is_the_built_one_and_reads_no_sources(
    imported: Callable[[Path], list[str]], stored: Path
) -> None:
    from_file, built = imported(stored), imported(stored.with_name("missing.json"))

    assert from_file[0].startswith("[false, ")
    assert built[0].startswith("[true, ")
    assert from_file[0].removeprefix("[false, ") == built[0].removeprefix("[true, ")
    assert from_file[1] == built[1] == "transformers.models.bert.modeling_bert transformers.models.clip.modeling_clip"


def test_damaged_file_is_ignored(imported: Callable[[Path], list[str]], stored: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.json"
    damaged.write_bytes(stored.read_bytes()[:1000])

    assert imported(damaged)[0].startswith("[true, ")


def test_process_that_has_imported_transformers_keeps_its_index(stored: Path) -> None:
    import transformers

    with stored_model_index(stored):
        assert sys.modules["transformers"] is transformers
        assert type(sys.meta_path[0]).__name__ != "_AfterImport"
