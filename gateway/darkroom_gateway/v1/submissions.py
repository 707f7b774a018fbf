"""Submissions with a JSON spec, alone or as a part of a form with files. Called by v1/submissions_router.py.

The spec is parsed here; the services of both kinds check and create the job, as for the query forms: the same checks,
idempotency and busy policy.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from darkroom_contract.jobs import Job
from darkroom_contract.json_documents import Json
from darkroom_contract.names import Kind
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.start_image import ImageSource
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_gateway.errors import FieldError, invalid_request
from darkroom_gateway.generation.image_form import is_form
from darkroom_gateway.generation.image_resolver import ImageResolver
from darkroom_gateway.generation.image_sources import ImageRole, Source, SourceKind
from darkroom_gateway.generation.parameters import ImageUris
from darkroom_gateway.generation.service import GenerationService
from darkroom_gateway.jobs.dependencies import Submitter
from darkroom_gateway.photos.photo_sources import PhotosOfFiles, PhotoSource
from darkroom_gateway.photos.upload_form import Upload
from darkroom_gateway.photos.upload_validator import UploadValidator
from darkroom_gateway.training.service import TrainingService
from darkroom_gateway.v1.bodies import parse_model, read_object
from darkroom_gateway.v1.field_names import ROLE_PATHS, in_fields, in_yaml
from darkroom_gateway.v1.spec_checks import reject_faults
from darkroom_gateway.v1.spec_form import SpecForm, SpecImageForm
from darkroom_gateway.v1.uploads import Uploads

_PLACEHOLDER = "s3://placeholder/images/{role}.png"
"""Validates like a picture, until the URI of the uploaded one is known."""
_PLACEHOLDER_DATASET = "s3://placeholder/photos/"


class SpecSubmissions:
    """Submits jobs of both kinds."""

    def __init__(
        self,
        training: TrainingService,
        generation: GenerationService,
        validator: UploadValidator,
        images: ImageResolver,
        uploads: Uploads,
    ) -> None:
        self._training = training
        self._generation = generation
        self._validator = validator
        self._images = images
        self._uploads = uploads

    async def train(self, request: Request, submitter: Submitter) -> Job:
        """Raises `InvalidRequestError` for an unusable body, and what `TrainingService.submit_spec` raises."""
        if not is_form(request):
            return await self._train(request, parse_model(TrainJobSpec, await read_object(request)), None, submitter)
        with self._validator.slots.hold(), contextlib.closing(SpecForm()) as form:
            await form.read(request)
            document = form.spec()
            if form.uploads:
                _set_dataset(document)
            photos = PhotosOfFiles(self._validator, request, form.uploads) if form.uploads else None
            return await self._train(request, parse_model(TrainJobSpec, document), photos, submitter)

    async def _train(
        self, request: Request, spec: TrainJobSpec, photos: PhotoSource | None, submitter: Submitter
    ) -> Job:
        reject_faults(spec)
        with in_fields(Kind.TRAIN):
            photos = photos or self._uploads.photos(spec.dataset, request)
            return await self._training.submit_spec(spec, photos, submitter)

    async def generate(self, request: Request, submitter: Submitter) -> Job:
        """Raises `InvalidRequestError` for an unusable body, and what `GenerationService.submit_spec` raises."""
        if not is_form(request):
            return await self._generate(request, await read_object(request), {}, submitter)
        with self._validator.slots.hold(), contextlib.closing(SpecImageForm()) as form:
            uploads = await form.read_images(request)
            return await self._generate(request, form.spec(), uploads, submitter)

    async def _generate(
        self, request: Request, document: Json, uploads: dict[ImageRole, Upload], submitter: Submitter
    ) -> Job:
        for role in uploads:
            _set_placeholder(document, role)
        spec = parse_model(GenerateJobSpec, document)
        reject_faults(spec)
        sources = {role: _source(role, image, uploads) for role, image in images_of(spec).items()}
        with in_fields(Kind.GENERATE), self._images.collect(sources, uploads) as images:
            return await self._generation.submit_spec(
                spec, lambda uris: _with_uris(spec, uris), images, request, submitter
            )


def _set_dataset(document: Json) -> None:
    """The dataset of photos in the form. Raises `InvalidRequestError` if the spec names another."""
    if "dataset" in document:
        message = "Leave it out, or send no files: a training has one set of photos. Captions are files: photo.txt."
        raise invalid_request([FieldError("dataset", message)])
    document["dataset"] = {"uri": _PLACEHOLDER_DATASET}


def _set_placeholder(document: Json, role: ImageRole) -> None:
    """The picture of a part of the form. Raises `InvalidRequestError` if the spec names another."""
    place: Any = document
    path = in_yaml(ROLE_PATHS[role])
    for name in path.split("."):
        if place.get(name) is None:
            place[name] = {}  # As for a field without a value.
        place = place[name]
        if not isinstance(place, dict):
            return  # parse_model reports it.
    if "uri" in place:
        message = f"Leave it out, or the part {role} of the form: a generation has one picture of this kind."
        raise invalid_request([FieldError(f"{path}.uri", message, str(place["uri"])[:200])])
    place["uri"] = _PLACEHOLDER.format(role=role)


def images_of(spec: GenerateJobSpec) -> dict[ImageRole, ImageSource]:
    """The pictures that a spec names."""
    found = {
        ImageRole.IMAGE: spec.start_image,
        ImageRole.MASK: spec.mask,
        ImageRole.VIDEO_IMAGE: spec.video.start_image,
    }
    return {role: image for role, image in found.items() if image is not None}


def _source(role: ImageRole, image: ImageSource, uploads: Mapping[ImageRole, Upload]) -> Source:
    return Source(SourceKind.UPLOAD) if role in uploads else Source(SourceKind.URI, image.uri)


def _with_uris(spec: GenerateJobSpec, uris: ImageUris) -> GenerateJobSpec:
    """The spec with the URIs of its pictures."""
    changes: dict[str, object] = {}
    if spec.start_image is not None:
        changes["start_image"] = spec.start_image.model_copy(update={"uri": uris[ImageRole.IMAGE]})
    if spec.mask is not None:
        changes["mask"] = spec.mask.model_copy(update={"uri": uris[ImageRole.MASK]})
    if spec.video.start_image is not None:
        image = spec.video.start_image.model_copy(update={"uri": uris[ImageRole.VIDEO_IMAGE]})
        changes["video"] = spec.video.model_copy(update={"start_image": image})
    return spec.model_copy(update=changes)
