"""The folders of object storage that jobs may read: photos, LoRA files and pictures. Pure: no client, no network.

A run's credentials usually reach the photos of more than one namespace, and perhaps other buckets. So a dataset must be
in its own namespace's folder of the deployment's bucket, `datasets/<namespace>/`, where the gateway stores uploaded
photos, or in a folder that the deployment allows (`environment.DATASET_URIS`). The runner enforces this, since it holds
the credentials; the operator applies the same rule before a job takes a slot. Nothing in a job's spec changes it."""

import re
from dataclasses import dataclass

from darkroom_contract import environment
from darkroom_contract.names import DATASET_URI_PATTERN, IMAGE_URI_PATTERN, LORA_URI_PATTERN
from darkroom_contract.storage.keys import dataset_prefix, dataset_uri, images_prefix, lora_prefix, parse_uri

_RUN_FILE = re.compile(r"runs/(?P<uid>[A-Za-z0-9-]{1,64})/(samples/)?[^/]+")
"""A picture of a job's run, or of a training's samples."""

_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/?")

SAFETENSORS_ONLY = (
    "Only safetensors are read: .ckpt, .pt and .bin are pickles, which can run code when they are loaded."
)


@dataclass(frozen=True)
class DatasetPolicy:
    """The folders that trainings of a deployment may read."""

    bucket: str
    """The deployment's own bucket."""
    allowed: tuple[str, ...] = ()
    """Further folders, as `read_allowed_uris` returns them: each ends in a slash."""

    def folders(self, namespace: str) -> tuple[str, ...]:
        """As URIs that end in a slash, the namespace's own folder first."""
        return dataset_uri(self.bucket, f"{dataset_prefix(namespace)}"), *self.allowed

    def lora_folders(self, namespace: str) -> tuple[str, ...]:
        """Where LoRA files from elsewhere may be, as URIs that end in a slash."""
        return dataset_uri(self.bucket, lora_prefix(namespace)), *self.allowed

    def lora_fault(self, uri: str, namespace: str) -> str | None:
        """Why a job of `namespace` may not read the LoRA file `uri`, in whole sentences; None when it may."""
        if not re.fullmatch(LORA_URI_PATTERN, uri) or _has_empty_or_dot_segment(uri):
            advice = "" if uri.endswith(".safetensors") else f" {SAFETENSORS_ONLY}"
            return f"The LoRA {uri!r} can't be used: write s3://bucket/folder/name.safetensors.{advice}"
        folders = self.lora_folders(namespace)
        if uri.startswith(folders):
            return None
        return (
            f"The LoRA {uri} is outside of the folders that jobs of namespace {namespace!r} may read: "
            f"{', '.join(folders)}. Copy it there, import it, or have an administrator allow its "
            f"folder ({environment.DATASET_URIS}; datasets.allowedUris of the chart)."
        )

    def image_folders(self, namespace: str) -> tuple[str, ...]:
        """Where pictures may be that generations start from, besides those of finished jobs; with a slash each."""
        own = (images_prefix(namespace), dataset_prefix(namespace))
        return *(dataset_uri(self.bucket, each) for each in own), *self.allowed

    def image_fault(self, uri: str, namespace: str, field: str = "uri") -> str | None:
        """Why a job of `namespace` may not read the picture `uri`, in whole sentences; None when it may.

        A picture of a finished job may be read if `job_of_image` is a job of the same namespace. The key of a run does
        not name the namespace, so the runner looks it up in the run's manifest.
        """
        if not re.fullmatch(IMAGE_URI_PATTERN, uri) or _has_empty_or_dot_segment(uri):
            return (
                f"{field} {uri!r} can't be used: write s3://bucket/folder/name.png. The file must end in .jpg, .jpeg, "
                ".png, .webp, .avif, .heic or .heif, and no folder may be empty, '.' or '..'."
            )
        folders = self.image_folders(namespace)
        if uri.startswith(folders) or self.job_of_image(uri, namespace) is not None:
            return None
        return (
            f"{field} {uri} is outside of the folders that generations of namespace {namespace!r} may read: "
            f"{', '.join(folders)}, and pictures of its jobs (s3://{self.bucket}/runs/<job uid>/name.png). Copy the "
            f"picture there, upload it with the generation, or have an administrator allow its folder "
            f"({environment.DATASET_URIS}; datasets.allowedUris of the chart)."
        )

    def job_of_image(self, uri: str, namespace: str) -> str | None:
        """The uid of the job whose manifest must name `namespace` before `uri` is read; None if no manifest decides."""
        if uri.startswith(self.image_folders(namespace)):
            return None
        key = uri.removeprefix(f"s3://{self.bucket}/")
        found = None if key == uri else _RUN_FILE.fullmatch(key)
        return None if found is None else found["uid"]

    def fault(self, uri: str, namespace: str) -> str | None:
        """Why a job of `namespace` may not read the dataset `uri`, in whole sentences; None when it may."""
        if not re.fullmatch(DATASET_URI_PATTERN, uri) or _has_empty_or_dot_segment(uri):
            return f"dataset.uri {uri!r} can't be used: its folders must have names, and none may be '.' or '..'."
        bucket, prefix = parse_uri(uri)
        folders = self.folders(namespace)
        if dataset_uri(bucket, prefix).startswith(folders):
            return None
        return (
            f"dataset.uri {uri} is outside of the folders that trainings of namespace {namespace!r} may read: "
            f"{', '.join(folders)}. Copy the photos to a folder there, or have an administrator allow their folder "
            f"({environment.DATASET_URIS}; datasets.allowedUris of the chart)."
        )


def read_allowed_uris(text: str | None) -> tuple[str, ...]:
    """URIs of folders or whole buckets, separated by white space or commas; each gets a slash at its end, so that
    `s3://bucket/data` never allows `s3://bucket/database/`.

    Raises `ValueError`, with a sentence that names the variable and the entry.
    """
    entries = [each for each in re.split(r"[\s,]+", text or "") if each]
    for entry in entries:
        is_folder = re.fullmatch(DATASET_URI_PATTERN, entry) is not None and not _has_empty_or_dot_segment(entry)
        if not is_folder and not _BUCKET.fullmatch(entry):
            raise ValueError(
                f"{environment.DATASET_URIS} holds {entry!r}: write s3://bucket/ for a whole bucket, or "
                "s3://bucket/folder/ for one folder and all below it."
            )
    return tuple(f"{entry.rstrip('/')}/" for entry in entries)


def _has_empty_or_dot_segment(uri: str) -> bool:
    """Whether a path segment is empty, `.` or `..`: S3 servers differ in how they read those."""
    _, prefix = parse_uri(uri)
    return not {"", ".", ".."}.isdisjoint(prefix.removesuffix("/").split("/"))
