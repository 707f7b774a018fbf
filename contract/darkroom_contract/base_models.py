"""Base models by reference, `name` or `owner/name`, either with `@revision`; and the folders of a model root.

The runner loads the folders found here; gateway and operator, where the model root is mounted in them too, refuse
unknown models early.
A reference has passed `names.BASE_MODEL_PATTERN` before it becomes part of a path. Reads small files only, no weights.

    <root>/<name>                  any revision: whatever the folder contains
    <root>/<name>@<revision>       exactly that revision; several can coexist

A folder from `hf download --local-dir`, or a link into a hub cache, records its commit: such a folder also matches a
reference to that commit.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydantic import Field

from darkroom_contract.names import BASE_MODEL_PATTERN
from darkroom_contract.schema import Schema

SDXL_PIPELINE = "StableDiffusionXLPipeline"
SVD_PIPELINE = "StableVideoDiffusionPipeline"
"""Names of diffusers' pipelines, as `model_index.json` has them."""

DEFAULT_BASE_MODEL = "stabilityai/stable-diffusion-xl-base-1.0"
"""The base model of jobs that name none, unless the deployment sets another one."""

INDEX = "model_index.json"
MAX_NAMED = 20
"""Models that a message lists."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_RECORD_OF_DOWNLOAD = Path(".cache", "huggingface", "download", f"{INDEX}.metadata")
"""Written by huggingface_hub (`_local_folder.py`); its first line is the commit."""


@dataclass(frozen=True)
class Reference:
    """A parsed reference."""

    name: str
    """`name` or `owner/name`."""
    revision: str | None
    """Branch, tag or commit; None: the hub's default branch, or whatever the folder holds."""

    @property
    def may_be_on_hub(self) -> bool:
        return "/" in self.name


class UsedModel(Schema):
    """A base model as a run used it: recorded in manifests and model records, and compared with another."""

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
    """Raises `ValueError` for an invalid reference."""
    if not re.fullmatch(BASE_MODEL_PATTERN, text):
        raise ValueError(
            f"{text!r} is not the name of a base model: use a folder name or owner/name, optionally with @revision."
        )
    return _split(text)


def _split(text: str) -> Reference:
    """Also for recorded references, which are only compared and never become a path."""
    name, _, revision = text.partition("@")
    return Reference(name, revision or None)


def find_folder(reference: Reference, root: Path) -> Path | None:
    """The folder of a model root that matches the reference; None when there is none."""
    if reference.revision is not None and _is_model(named := root / f"{reference.name}@{reference.revision}"):
        return named
    folder = root / reference.name
    if not _is_model(folder):
        return None
    return folder if reference.revision in (None, commit_of(folder)) else None


def commit_of(folder: Path) -> str | None:
    """The hub commit that a folder was downloaded from, if recorded."""
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
    """The class of diffusers pipeline in a folder's index; None when that can't be read."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return index.get("_class_name") if isinstance(index, dict) else None


def native_side_px(text: str, root: Path) -> int | None:
    """Side of a base model's native, square pictures, by the configuration of its U-Net and VAE, as diffusers computes
    it. None when it is not in the root, or that can't be read."""
    try:
        folder = find_folder(parse_reference(text), root)
        if folder is None:
            return None
        unet, vae = (json.loads((folder / part / "config.json").read_text("utf-8")) for part in ("unet", "vae"))
        side_px = unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return side_px if isinstance(side_px, int) else None


def unknown_model(text: str, root: Path, pipeline: str) -> str | None:
    """Why no run will find a base model, in whole sentences; None when it is there, or may be on the hub.

    Names the models of the root that are for this pipeline.

    A root that is missing, empty or unreadable refuses nothing: it may be mounted in the runner only, or not at the
    moment, and a later run may find the model.
    """
    reference = parse_reference(text)
    if reference.may_be_on_hub:
        return None
    try:
        if find_folder(reference, root) is not None:
            return None
        if next(_names(root), None) is None:
            return None
        names = _suitable_names(root, pipeline)
    except OSError:
        return None
    listed = f"It has {', '.join(names)}. Use one of those, put" if names else f"It has none for {pipeline}. Put"
    return (
        f"There is no base model {text!r} in the model root. {listed} its folder there, or name a repository of the "
        "hub as owner/name."
    )


def unsuitable_model(text: str, root: Path, pipeline: str) -> str | None:
    """Why a base model of the root is of the wrong pipeline; None when it fits, is missing, or can't be read."""
    reference = parse_reference(text)
    try:
        folder = find_folder(reference, root)
        found = None if folder is None else pipeline_of(folder)
        if found in (None, pipeline):
            return None
        names = _suitable_names(root, pipeline)
    except OSError:
        return None
    advice = f" Use one of: {', '.join(names)}." if names else ""
    return f"The base model {text!r} is for {found}; a model for {pipeline} is needed.{advice}"


def _suitable_names(root: Path, pipeline: str) -> list[str]:
    """The first models of the root for this pipeline, and of an unknown one. Raises `OSError` as `_names` does."""
    suitable = (name for name in sorted(_names(root)) if pipeline_of(root / name) in (None, pipeline))
    return list(islice(suitable, MAX_NAMED))


def _names(root: Path) -> Iterator[str]:
    """Raises `OSError` when the root itself can't be read. An unreadable folder in it, such as `lost+found`, is
    skipped."""
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
