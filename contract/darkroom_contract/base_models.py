"""Base models by reference, `name` or `owner/name`, either with `@revision`; and the folders of a model root.

The runner loads what is found here; gateway and operator, where they see the same model root, tell early what is not.
A reference has passed `names.BASE_MODEL_PATTERN` before it becomes part of a path. Reads small files only, no weights.

    <root>/<name>                  any revision: it is whatever was put there
    <root>/<name>@<revision>       exactly that one, for several revisions side by side

A folder that `hf download --local-dir` filled, or a link into a hub's cache, knows the commit it came from: such a
folder also serves a reference to that commit.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from darkroom_contract.names import BASE_MODEL_PATTERN
from darkroom_contract.schema import Schema

SDXL_PIPELINE = "StableDiffusionXLPipeline"
SVD_PIPELINE = "StableVideoDiffusionPipeline"
"""Names of diffusers' pipelines, as `model_index.json` has them."""

INDEX = "model_index.json"
MAX_NAMED = 20
"""Models that a message lists."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_RECORD_OF_DOWNLOAD = Path(".cache", "huggingface", "download", f"{INDEX}.metadata")
"""Written by huggingface_hub (`_local_folder.py`); its first line is the commit."""


@dataclass(frozen=True)
class Reference:
    """A sound reference, in its parts."""

    name: str
    """`name` or `owner/name`."""
    revision: str | None
    """Branch, tag or commit; None: the hub's default branch, or whatever the folder holds."""

    @property
    def may_be_on_hub(self) -> bool:
        return "/" in self.name


class UsedModel(Schema):
    """A base model as a run used it: for manifests and records, and to tell whether two are the same."""

    reference: str = Field(description="As the job names it, or the cluster's default.")
    commit: str | None = Field(None, description="The hub's commit of its files, where it is known.")

    def differs(self, other: "UsedModel") -> bool:
        """Whether the two are known to be different models. A commit decides where both have one, a revision otherwise;
        a model without either may be any revision of its name."""
        mine, others = _split(self.reference), _split(other.reference)
        if mine.name != others.name:
            return True
        if self._commit and other._commit:
            return self._commit != other._commit
        return bool(mine.revision and others.revision and mine.revision != others.revision)

    @property
    def _commit(self) -> str | None:
        revision = _split(self.reference).revision
        return self.commit or (revision if revision and _COMMIT.fullmatch(revision) else None)

    def __str__(self) -> str:
        return f"{self.reference!r} (commit {self.commit[:12]})" if self.commit else repr(self.reference)


def parse_reference(text: str) -> Reference:
    """Raises `ValueError` for what is no reference."""
    if not re.fullmatch(BASE_MODEL_PATTERN, text):
        raise ValueError(
            f"{text!r} is no name of a base model: give a folder's name or owner/name, with @revision if you like."
        )
    return _split(text)


def _split(text: str) -> Reference:
    """Of records too, which are compared and never become a path."""
    name, _, revision = text.partition("@")
    return Reference(name, revision or None)


def find_folder(reference: Reference, root: Path) -> Path | None:
    """The folder of a model root that holds what the reference means; None when there is none."""
    if reference.revision is not None and _is_model(named := root / f"{reference.name}@{reference.revision}"):
        return named
    folder = root / reference.name
    if not _is_model(folder):
        return None
    return folder if reference.revision in (None, commit_of(folder)) else None


def commit_of(folder: Path) -> str | None:
    """The hub's commit that a folder was downloaded from, where it says so."""
    if folder.parent.name != "snapshots":
        folder = folder.resolve()
    if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name):
        return folder.name
    try:
        first, *_ = (folder / _RECORD_OF_DOWNLOAD).read_text(encoding="utf-8").splitlines() or [""]
    except (OSError, UnicodeDecodeError):
        return None
    return first if _COMMIT.fullmatch(first) else None


def pipeline_of(folder: Path) -> str | None:
    """The name of the diffusers pipeline that a folder is made for. None when its index can't be read."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return index.get("_class_name") if isinstance(index, dict) else None


def unknown_model(text: str, root: Path) -> str | None:
    """Why no run will find a base model, in whole sentences; None when it is there, or may be on the hub.

    Nothing is said of a root that is missing, holds no model at all, or can't be read: it may be mounted elsewhere
    only, or not be mounted at the moment, and a run that comes later finds the model.
    """
    reference = parse_reference(text)
    if reference.may_be_on_hub:
        return None
    try:
        if find_folder(reference, root) is not None:
            return None
        names = sorted(_names(root))
    except OSError:
        return None
    if not names:
        return None
    return (
        f"There is no base model {text!r} in the model root. It holds {', '.join(names[:MAX_NAMED])}. Use one of "
        "those, put its folder there, or name a repository of the hub as owner/name."
    )


def unsuitable_model(text: str, root: Path, pipeline: str) -> str | None:
    """Why a base model of the root can't do what is asked of it; None when it can, is not there, or can't be read."""
    reference = parse_reference(text)
    try:
        folder = find_folder(reference, root)
    except OSError:
        return None
    found = None if folder is None else pipeline_of(folder)
    return (
        None if found in (None, pipeline) else f"The base model {text!r} is for {found}; this needs one for {pipeline}."
    )


def _names(root: Path) -> Iterator[str]:
    """Raises `OSError` when the root itself can't be read. A folder in it that can't, as `lost+found`, is left out."""
    for folder in _folders(root):
        with contextlib.suppress(OSError):
            if _is_model(folder):
                yield folder.name
            else:
                yield from (f"{folder.name}/{each.name}" for each in _folders(folder) if _is_model(each))


def _folders(parent: Path) -> Iterator[Path]:
    yield from (each for each in parent.iterdir() if not each.name.startswith(".") and each.is_dir())


def _is_model(folder: Path) -> bool:
    return (folder / INDEX).is_file()
