"""The LoRA file of an import: uploaded in a form, or copied from object storage. Called by model_import/importer.py.

The file is spooled to the temporary folder, never held in memory, and checked by its header alone: names, types and
shapes of its tensors. The runner converts it when a job uses it, and refuses what the header can't show.
"""

import hashlib
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, BinaryIO, cast

from anyio import CapacityLimiter
from pydantic import ValidationError
from starlette.requests import Request

from darkroom_contract.lora_names import classify
from darkroom_contract.safetensors_header import NotSafetensorsError, read_header
from darkroom_contract.schema import printable
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.backends.deadlines import STORAGE_SECONDS, upload_seconds
from darkroom_gateway.backends.file_threads import run_to_end
from darkroom_gateway.errors import FieldError, TooLargeError, invalid_request
from darkroom_gateway.http.upload_slots import UploadSlots
from darkroom_gateway.model_import.upload_form import invalid_model, read_form
from darkroom_gateway.models.schemas import ModelUri
from darkroom_gateway.photos.upload_form import no_space
from darkroom_gateway.storage.client import ObjectStorage

MAX_JSON_BYTES = 4096
MAX_LISTED = 20
"""Maximum number of tensors that an error lists."""
TRIGGER_PHRASE = "modelspec.trigger_phrase"
"""Metadata of a safetensors file, https://github.com/Stability-AI/ModelSpec."""
MIB = 1024**2


@dataclass(frozen=True)
class LoraFile:
    """A checked LoRA file, open."""

    source: str
    """The client's file name, or the URI."""
    file: IO[bytes]
    size_bytes: int
    sha256: str
    trigger_phrase: str
    """From its metadata; empty if it has none."""


@dataclass(frozen=True)
class UploadLimits:
    """The largest LoRA file, and the space of one slot."""

    max_bytes: int
    slot_bytes: int

    def slots(self, size_bytes: int) -> int:
        """The slots for a body of this size. Its form is a little larger than the file."""
        return max(1, math.ceil(min(size_bytes, self.max_bytes) / self.slot_bytes))


class LoraSource:
    """Opens the file of a request."""

    def __init__(
        self,
        storage: ObjectStorage,
        backends: Backends,
        policy: DatasetPolicy,
        namespace: str,
        slots: UploadSlots,
        limits: UploadLimits,
    ) -> None:
        self._storage = storage
        self._backends = backends
        self._policy = policy
        self._namespace = namespace
        self._slots = slots
        self._limits = limits
        self._checking = CapacityLimiter(1)
        """The largest header takes 100 MB of memory: one file at a time."""

    @asynccontextmanager
    async def open(self, request: Request, uri: str | None) -> AsyncIterator[LoraFile]:
        """The file of the form, or of the URI in the query or in a JSON body; deleted after the context.

        Raises `InvalidRequestError` unless exactly one is given and jobs may read it, `InvalidModelError` for anything
        but a LoRA for SDXL that can be applied completely, `TooLargeError`, or an `UnavailableError`.
        """
        uri = await self._given_uri(request, uri)
        opened = self._uploaded(request) if uri is None else self._downloaded(uri)
        async with opened as (source, file):
            yield await run_to_end(checked, source, file, limiter=self._checking)

    async def _given_uri(self, request: Request, uri: str | None) -> str | None:
        """The URI that the request names; None if it has a form."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        has_body = "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
        if uri is not None and has_body:
            raise invalid_request(
                [FieldError("uri", "Leave it out, or send no body: there may be one LoRA only.", uri)]
            )
        if uri is None and kind == "application/json":
            uri = await _uri_of_body(request)
        if uri is None and not has_body:
            raise invalid_request([FieldError("file", "Send a .safetensors file as multipart/form-data, or add uri.")])
        if uri is not None and (fault := self._policy.lora_fault(uri, self._namespace)) is not None:
            raise invalid_request([FieldError("uri", fault, uri)])
        return uri

    @asynccontextmanager
    async def _uploaded(self, request: Request) -> AsyncIterator[tuple[str, IO[bytes]]]:
        announced = request.headers.get("content-length", "")
        size_bytes = int(announced) if announced.isdigit() else self._limits.max_bytes
        with self._slots.hold(self._limits.slots(size_bytes)):
            name, file = await read_form(request)
            with file:
                yield name, file

    @asynccontextmanager
    async def _downloaded(self, uri: str) -> AsyncIterator[tuple[str, IO[bytes]]]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        size_bytes = await self._backends.storage.call(STORAGE_SECONDS, self._storage.size_of, bucket, key)
        if size_bytes is None:
            message = "There is no such object, or the gateway's credentials may not read it."
            raise invalid_request([FieldError("uri", message, uri)])
        if size_bytes > self._limits.max_bytes:
            raise TooLargeError(f"{uri} has more than {self._limits.max_bytes / MIB:.0f} MiB. Use a smaller LoRA.")
        with self._slots.hold(self._limits.slots(size_bytes)), TemporaryFile() as file:
            seconds = upload_seconds(size_bytes)
            try:
                await self._backends.uploads.call(seconds, self._storage.download, bucket, key, file, size_bytes)
            except OSError as error:
                raise no_space(error) from error
            yield uri, file


async def _uri_of_body(request: Request) -> str:
    body = b""
    async for block in request.stream():
        body += block
        if len(body) > MAX_JSON_BYTES:
            raise TooLargeError(f"Send at most {MAX_JSON_BYTES} bytes of JSON.")
    try:
        return ModelUri.model_validate(json.loads(body)).uri
    except (ValidationError, ValueError, RecursionError) as error:
        message = 'Send a JSON object with the URI of the file: {"uri": "s3://bucket/folder/name.safetensors"}.'
        raise invalid_request([FieldError("body", message)]) from error


def checked(source: str, file: IO[bytes]) -> LoraFile:
    """The file, if it is a LoRA for SDXL. Raises `InvalidModelError` with the tensors that would be dropped."""
    size_bytes = file.seek(0, 2)
    file.seek(0)
    try:
        header = read_header(cast(BinaryIO, file), size_bytes)
    except NotSafetensorsError as error:
        raise invalid_model(source, str(error)) from error
    names = classify(header.tensors)
    if names.fault is not None:
        dropped = [FieldError(printable(each)[:200], "It would be dropped.") for each in names.refused[:MAX_LISTED]]
        raise invalid_model(source, names.fault, *dropped)
    file.seek(0)
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.seek(0)
    return LoraFile(source, file, size_bytes, sha256, printable(header.metadata.get(TRIGGER_PHRASE, "")).strip())
