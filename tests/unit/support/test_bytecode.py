"""Test workers share the work of compiling a fresh checkout."""

from pathlib import Path

import pytest
from _pytest.assertion import rewrite
from support import bytecode

SOURCE = "def test_it():\n    assert 1 == 2\n"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    for number in range(7):
        (tmp_path / f"test_{number}.py").write_text(SOURCE)
    (tmp_path / "conftest.py").write_text("")
    (tmp_path / "data.py").write_text("")
    return sorted([*tmp_path.glob("test_*.py"), tmp_path / "conftest.py"])


def compiled_of(path: Path) -> Path:
    return rewrite.get_cache_dir(path) / f"{path.stem}{rewrite.PYC_TAIL}"


def worker(
    config: pytest.Config, number: int, *arguments: Path, workers: int = 3, stash: pytest.Stash | None = None
) -> pytest.Config:
    """A worker of several."""

    class Worker:
        workerinput = {"workerid": f"gw{number}", "workercount": workers}  # noqa: RUF012
        args = tuple(map(str, arguments))

        def __init__(self) -> None:
            self.stash = config.stash if stash is None else stash

        def __getattr__(self, name: str) -> object:
            return getattr(config, name)

    return Worker()  # type: ignore[return-value]


@pytest.fixture
def only_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytecode, "PACKAGES", ())
    monkeypatch.setattr("sys.dont_write_bytecode", False)


@pytest.mark.usefixtures("only_tests")
def test_each_worker_compiles_its_share(files: list[Path], tmp_path: Path, pytestconfig: pytest.Config) -> None:
    shares = []
    for number in range(3):
        before = {path for path in files if compiled_of(path).exists()}
        bytecode.compile_share(worker(pytestconfig, number, tmp_path))
        shares.append({path for path in files if compiled_of(path).exists()} - before)

    assert [len(share) for share in shares] == [3, 3, 2]
    assert set().union(*shares) == set(files)
    assert not compiled_of(tmp_path / "data.py").exists()


def test_pytest_takes_what_was_compiled_and_what_is_up_to_date_stays(
    files: list[Path], pytestconfig: pytest.Config
) -> None:
    path = files[-1]
    bytecode.rewrite_assertions(pytestconfig, path)
    code, before = rewrite._read_pyc(path, compiled_of(path)), compiled_of(path).stat()
    bytecode.rewrite_assertions(pytestconfig, path)
    after = compiled_of(path).stat()

    assert code is not None
    assert "_call_reprcompare" in _names(code)
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    path.write_text(SOURCE.replace("2", "3"))
    assert rewrite._read_pyc(path, compiled_of(path)) is None
    bytecode.rewrite_assertions(pytestconfig, path)
    assert rewrite._read_pyc(path, compiled_of(path)) is not None


def _names(code: object) -> list[str]:
    inner = [each for each in code.co_consts if hasattr(each, "co_names")]  # type: ignore[attr-defined]
    return [*code.co_names, *(name for each in inner for name in _names(each))]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("only_tests")
def test_what_cannot_be_compiled_is_left_to_pytest(
    files: list[Path], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    for name, content in (("syntax", b"def ("), ("encoding", b"x = '\xff'"), ("null", b"x = '\0'")):
        (tmp_path / f"test_0_{name}.py").write_bytes(content)
    (tmp_path / "test_0_gone.py").symlink_to("nowhere")
    mistyped = tmp_path / "mistyped"

    bytecode.compile_share(worker(pytestconfig, 0, mistyped / "test_0.py", mistyped, tmp_path, workers=1))

    assert all(compiled_of(path).exists() for path in files)
    assert not mistyped.exists()


@pytest.mark.usefixtures("only_tests")
def test_without_rewritten_assertions_no_test_is_compiled(
    files: list[Path], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """As with `--assert=plain`."""
    bytecode.compile_share(worker(pytestconfig, 0, tmp_path, stash=pytest.Stash()))

    assert not any(compiled_of(path).exists() for path in files)


def test_a_process_without_workers_compiles_nothing_in_advance(files: list[Path], tmp_path: Path) -> None:
    class Alone:
        args = (str(tmp_path),)

    bytecode.compile_share(Alone())  # type: ignore[arg-type]
    assert not any(compiled_of(path).exists() for path in files)
