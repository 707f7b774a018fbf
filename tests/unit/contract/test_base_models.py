"""References to base models, and what a model root holds."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from darkroom_contract.base_models import (
    SDXL_PIPELINE,
    SVD_PIPELINE,
    Reference,
    UsedModel,
    commit_of,
    find_folder,
    parse_reference,
    unknown_model,
    unsuitable_model,
)
from darkroom_contract.specs.generate_job import GenerateJobSpec

ONE, TWO = "1" * 40, "2" * 40
GOOD = {
    "sdxl": Reference("sdxl", None),
    "owner/name": Reference("owner/name", None),
    "owner/name@main": Reference("owner/name", "main"),
    "owner/name@v1.0": Reference("owner/name", "v1.0"),
    f"owner/name@{ONE}": Reference("owner/name", ONE),
    "sdxl@2026-11_b": Reference("sdxl", "2026-11_b"),
}
BAD = [
    *("owner/name@", "@main", "owner/name@a@b", "owner/name@../x", "owner/name@a..b", "owner/name@.", "owner/name@-x"),
    *("owner/name@refs/pr/1", "owner/name@a b", "owner/name@main\n", "a/b/c@main", "owner/name@é", "owner/name@a."),
    f"owner/name@{'a' * 102}",
]


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """A folder of the model root, with the commit it was downloaded from when one is given."""

    def put(name: str, commit: str | None = None, pipeline: str = SDXL_PIPELINE) -> Path:
        folder = tmp_path / name
        record = folder / ".cache" / "huggingface" / "download" / "model_index.json.metadata"
        record.parent.mkdir(parents=True)
        folder.joinpath("model_index.json").write_text(json.dumps({"_class_name": pipeline}))
        if commit is not None:
            record.write_text(f"{commit}\netag\n1.0\n")
        return folder

    return put


@pytest.mark.parametrize("text", GOOD)
def test_a_reference_has_a_name_and_perhaps_a_revision(text: str) -> None:
    assert parse_reference(text) == GOOD[text]
    assert GenerateJobSpec(prompt="a dog", base_model=text).base_model == text


@pytest.mark.parametrize("text", BAD)
def test_invalid_reference_is_refused_by_contract_and_schema(text: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a base model"):
        parse_reference(text)
    if not text.endswith("\n"):  # pydantic's `$` and Python's differ there.
        with pytest.raises(ValueError, match="String should match pattern"):
            GenerateJobSpec(prompt="a dog", base_model=text)


def test_a_folder_serves_its_name_and_the_commit_that_it_came_from(tmp_path: Path, put: Callable[..., Path]) -> None:
    folder = put("owner/name", ONE)
    for text, found in (
        ("owner/name", folder),
        (f"owner/name@{ONE}", folder),
        (f"owner/name@{TWO}", None),
        ("owner/name@main", None),
    ):
        assert find_folder(parse_reference(text), tmp_path) == found, text


def test_a_folder_may_be_named_with_its_revision(tmp_path: Path, put: Callable[..., Path]) -> None:
    plain, pinned = put("sdxl"), put("sdxl@v2")
    assert find_folder(parse_reference("sdxl"), tmp_path) == plain
    assert find_folder(parse_reference("sdxl@v2"), tmp_path) == pinned
    assert find_folder(parse_reference("sdxl@v3"), tmp_path) is None


def test_a_link_into_the_hub_s_cache_knows_its_commit(tmp_path: Path, put: Callable[..., Path]) -> None:
    snapshot = put(f"cache/models--owner--name/snapshots/{ONE}")
    (tmp_path / "sdxl").symlink_to(snapshot)
    assert commit_of(snapshot) == commit_of(tmp_path / "sdxl") == ONE


@pytest.mark.parametrize("record", ["", "no commit\n", "1" * 39, "\xff"])
def test_an_unreadable_record_has_no_commit(put: Callable[..., Path], record: str) -> None:
    folder = put("sdxl")
    path = folder / ".cache" / "huggingface" / "download" / "model_index.json.metadata"
    path.write_bytes(record.encode("latin-1"))
    assert commit_of(folder) is None


def test_an_unknown_name_is_reported_with_the_known_ones(tmp_path: Path, put: Callable[..., Path]) -> None:
    for name in ("sdxl", "sdxl@v2", "owner/name", ".hidden"):
        put(name)
    (tmp_path / "no-model").mkdir()
    fault = unknown_model("sdx", tmp_path, SDXL_PIPELINE)
    assert fault is not None
    assert "no base model 'sdx' in the model root. It has owner/name, sdxl, sdxl@v2. Use one" in fault
    assert unknown_model("sdxl@v3", tmp_path, SDXL_PIPELINE) is not None
    assert [unknown_model(each, tmp_path, SDXL_PIPELINE) for each in ("sdxl", "sdxl@v2", "nobody/on-the-hub@v1")] == [
        None
    ] * 3


def test_nothing_is_reported_for_a_missing_root(tmp_path: Path) -> None:
    assert unknown_model("sdxl", tmp_path / "elsewhere", SDXL_PIPELINE) is None


def test_nothing_is_reported_for_an_empty_root_which_may_lack_its_volume(tmp_path: Path) -> None:
    assert unknown_model("sdxl", tmp_path, SDXL_PIPELINE) is None


@pytest.mark.parametrize("unreadable", ["", "sdx"])
def test_nothing_is_reported_for_an_unreadable_root(
    tmp_path: Path, put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, unreadable: str
) -> None:
    put("sdxl")
    fail_below(tmp_path / unreadable, monkeypatch)
    assert unknown_model("sdx", tmp_path, SDXL_PIPELINE) is None
    assert unsuitable_model("sdx", tmp_path, SVD_PIPELINE) is None


def test_a_folder_beside_the_models_that_can_t_be_read_hides_nothing(
    tmp_path: Path, put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    put("sdxl")
    (tmp_path / "lost+found").mkdir()
    fail_below(tmp_path / "lost+found", monkeypatch)
    assert "It has sdxl." in (unknown_model("sdx", tmp_path, SDXL_PIPELINE) or "")


def test_reports_name_only_the_models_that_the_job_can_use(tmp_path: Path, put: Callable[..., Path]) -> None:
    put("svd", pipeline=SVD_PIPELINE)
    unknown = unknown_model("sdx", tmp_path, SDXL_PIPELINE) or ""
    assert f"It has none for {SDXL_PIPELINE}. Put its folder there" in unknown
    put("sdxl")
    assert "It has sdxl. Use one of those" in (unknown_model("sdx", tmp_path, SDXL_PIPELINE) or "")
    assert (unsuitable_model("svd", tmp_path, SDXL_PIPELINE) or "").endswith("is needed. Use one of: sdxl.")


def fail_below(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a network's file system whose server forgot the folder does. Root may read everything else."""
    is_file = Path.is_file

    def fail(self: Path) -> bool:
        if folder in self.parents:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(self))
        return is_file(self)

    monkeypatch.setattr(Path, "is_file", fail)


def test_a_model_of_the_wrong_kind_is_reported(tmp_path: Path, put: Callable[..., Path]) -> None:
    put("svd", pipeline=SVD_PIPELINE)
    assert f"'svd' is for {SVD_PIPELINE}" in (unsuitable_model("svd", tmp_path, SDXL_PIPELINE) or "")
    assert "Use one of" not in (unsuitable_model("svd", tmp_path, SDXL_PIPELINE) or "")
    assert unsuitable_model("svd", tmp_path, SVD_PIPELINE) is None
    assert unsuitable_model("owner/on-the-hub", tmp_path, SVD_PIPELINE) is None


@pytest.mark.parametrize(
    ("trained_on", "used", "differ"),
    [
        (("o/n", None), ("o/n", None), False),
        (("o/n", None), ("o/m", None), True),
        (("o/n@v1", None), ("o/n@v1", None), False),
        (("o/n@v1", None), ("o/n@v2", None), True),
        (("o/n@v1", None), ("o/n", None), False),
        (("o/n@v1", ONE), ("o/n@v2", ONE), False),
        (("o/n", ONE), ("o/n", TWO), True),
        (("o/n", ONE), ("o/n", None), False),
        (("o/n", ONE), (f"o/n@{ONE}", None), False),
        (("o/n", ONE), (f"o/n@{TWO}", None), True),
        (("anything that was written", None), ("o/n", None), True),
    ],
)
def test_two_models_differ_when_they_are_known_to(
    trained_on: tuple[str, str | None], used: tuple[str, str | None], differ: bool
) -> None:
    first, second = (UsedModel(reference=name, commit=commit) for name, commit in (trained_on, used))
    assert first.differs(second) is differ
    assert second.differs(first) is differ
