"""The pictures of a generation: receives or downloads them, checks them, and finds those that are stored already.

Called by generation/service.py. Uploads and downloads are spooled to temporary files and decoded like photos, in a
child process with limits, before anything is stored. Their names in storage are the gateway's.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request

from darkroom_contract.specs.start_image import Mask, MaskChannel
from darkroom_contract.storage.keys import dataset_uri, images_prefix
from darkroom_gateway.errors import FieldError, InvalidImagesError, InvalidPhotosError
from darkroom_gateway.generation.image_form import ImageForm, is_form, require_no_other_body
from darkroom_gateway.generation.image_links import LinkDownloader
from darkroom_gateway.generation.image_sources import (
    ImageRole,
    SourceKind,
    Sources,
    fingerprint,
    read_sources,
)
from darkroom_gateway.generation.parameters import GenerateParameters, ImageUris
from darkroom_gateway.generation.stored_images import StoredImages
from darkroom_gateway.jobs.task_ids import new_dataset_id
from darkroom_gateway.jobs.uploaded_files import StoredFile
from darkroom_gateway.photos.upload_form import Upload
from darkroom_gateway.photos.upload_validator import Photo, UploadValidator

_BLACK_MASK = "It is black everywhere: nothing would be painted. Paint a part of it white, or add mask_invert=true."
_OPAQUE_MASK = "It has no transparent part: nothing would be painted. Make the part to paint transparent."


@dataclass
class RequestImages:
    """The pictures of one request, open as long as the context of `ImageResolver.open`."""

    sources: Sources
    prefix: str
    """Prefix under which its uploads are stored."""
    bucket: str
    uploads: dict[ImageRole, Upload] = field(default_factory=dict)
    checked: dict[ImageRole, Photo] = field(default_factory=dict)

    @property
    def placeholders(self) -> ImageUris:
        """A URI for each picture before its own is known, for a spec that is only compared and validated."""
        return {role: self._uri(f"{role}.png") for role in self.sources}

    @property
    def files(self) -> list[StoredFile]:
        """The files to store."""
        return [StoredFile(_file_name(role, each), each.file, each.content_type) for role, each in self.checked.items()]

    def stored_uris(self) -> dict[ImageRole, str]:
        return {role: self._uri(_file_name(role, each)) for role, each in self.checked.items()}

    def _uri(self, name: str) -> str:
        return dataset_uri(self.bucket, self.prefix + name)


def _file_name(role: ImageRole, image: Photo) -> str:
    return f"{role}.{image.extension}"


class ImageResolver:
    """The pictures of requests to one namespace."""

    def __init__(
        self, validator: UploadValidator, downloader: LinkDownloader, stored: StoredImages, bucket: str, namespace: str
    ) -> None:
        self._validator = validator
        self._downloader = downloader
        self._stored = stored
        self._bucket = bucket
        self._namespace = namespace

    @asynccontextmanager
    async def open(self, parameters: GenerateParameters, request: Request) -> AsyncIterator[RequestImages]:
        """The pictures that a request names, and those of its form, which is read here.

        Raises `InvalidRequestError` for two sources of one picture, `InvalidImagesError` for an unusable form, and an
        `UnavailableError` when a limit of the gateway is reached.
        """
        await require_no_other_body(request)
        with contextlib.ExitStack() as stack:
            uploads: dict[ImageRole, Upload] = {}
            if is_form(request):
                stack.enter_context(self._validator.slots.hold())
                form = stack.enter_context(contextlib.closing(ImageForm()))
                uploads = await form.read_images(request)
            sources = read_sources(parameters, uploads.keys())
            if not is_form(request) and any(each.kind is SourceKind.URL for each in sources.values()):
                stack.enter_context(self._validator.slots.hold())
            with self.collect(sources, uploads) as images:
                yield images

    @contextlib.contextmanager
    def collect(self, sources: Sources, uploads: dict[ImageRole, Upload]) -> Iterator[RequestImages]:
        """Pictures whose sources are known, with those of a form that was read."""
        images = RequestImages(sources, images_prefix(self._namespace, new_dataset_id()), self._bucket, uploads)
        try:
            yield images
        finally:
            for each in images.uploads.values():
                with contextlib.suppress(OSError):
                    each.file.close()

    async def fingerprint(self, images: RequestImages) -> str | None:
        """Identifies the pictures of a request; None without any."""
        if not images.sources:
            return None
        digests = {}
        for role, source in images.sources.items():
            is_upload = source.kind is SourceKind.UPLOAD
            digests[role] = source.digest(await self._validator.sha256(images.uploads[role]) if is_upload else None)
        return fingerprint(digests)

    async def resolve(self, images: RequestImages, settings: Mask | None) -> ImageUris:
        """Check every picture, and return its URI. Those of `images.files` must then be stored. `settings` are those
        of the mask.

        Raises `InvalidImagesError`, `InvalidRequestError`, `UnknownTaskError`, `UnknownFileError`,
        `UnfinishedTaskError`, or an `UnavailableError`.
        """
        found = {}
        for role, source in images.sources.items():
            if source.kind is SourceKind.URI:
                found[role] = await self._stored.require(source.value, role.uri_parameter)
            elif source.kind is SourceKind.TASK:
                found[role] = await self._stored.of_task(source.value, source.file, role)
        for role, source in images.sources.items():
            if source.kind is SourceKind.URL:
                file = await self._downloader.download(source.value, role.url_parameter)
                images.uploads[role] = Upload(role.url_parameter, 0, file)
        images.checked = await self._check(images.uploads)
        mask = images.checked.get(ImageRole.MASK)
        if mask is not None and settings is not None and (fault := _fault_of_mask(mask, settings)) is not None:
            raise InvalidImagesError((FieldError(images.uploads[ImageRole.MASK].name, fault),))
        return {**found, **images.stored_uris()}

    async def _check(self, uploads: Mapping[ImageRole, Upload]) -> dict[ImageRole, Photo]:
        """Decode the pictures. Raises `InvalidImagesError`."""
        if not uploads:
            return {}
        try:
            checked = await self._validator.check(list(uploads.values()))
        except InvalidPhotosError as error:
            raise InvalidImagesError(error.field_errors) from error
        return dict(zip(uploads, checked, strict=True))


def _fault_of_mask(mask: Photo, settings: Mask) -> str | None:
    """Why nothing would be painted. The decoder does not look for white, nor for opaque parts: the run does."""
    if settings.invert:
        return None
    if settings.channel is MaskChannel.TRANSPARENCY:
        return None if mask.transparent else _OPAQUE_MASK
    return _BLACK_MASK if mask.black else None
