"""What a training refers to in object storage: an existing dataset, class pictures, an initial LoRA.

Called by training/service.py. Only the namespace's own folders are checked, for existence: the gateway does not know
the other folders that the deployment allows. The operator and the runner decide which ones a job may read.
"""

from starlette.requests import Request

from darkroom_contract.photos.limits import FORMAT_NAMES, is_photo_name
from darkroom_contract.specs.dataset import Dataset
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_contract.storage.keys import parse_uri
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import STORAGE_SECONDS
from darkroom_gateway.errors import FieldError, UnknownModelError, invalid_request
from darkroom_gateway.http.unexpected_input import has_body
from darkroom_gateway.models.catalog import ModelCatalog
from darkroom_gateway.photos.file_roles import FileRole, role_and_stem
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.training.contradictions import too_many_held_out


async def require_no_body(request: Request) -> None:
    """Raises `InvalidRequestError` for photos beside `dataset_uri`."""
    if await has_body(request):
        message = "Remove the body, or leave dataset_uri out: a training has one set of photos."
        raise invalid_request([FieldError("dataset_uri", message)])


class TrainingReferences:
    """Checks that what a training refers to exists."""

    def __init__(self, storage: ObjectStorage, backend: Backend, namespace: str, model_catalog: ModelCatalog) -> None:
        self._storage = storage
        self._backend = backend
        self._namespace = namespace
        self._model_catalog = model_catalog

    async def require(self, spec: TrainJobSpec, *, uploads_photos: bool) -> None:
        """Raises `InvalidRequestError` for a dataset without photos, and `UnknownModelError` for an unknown LoRA."""
        if not uploads_photos:
            photos = await self._require_photos(spec.dataset, "dataset_uri")
            if photos is not None and spec.training.held_out_photos >= photos:
                raise too_many_held_out(spec.training.held_out_photos, photos)
        prior = spec.training.prior_preservation
        if prior is not None and prior.dataset is not None:
            await self._require_photos(prior.dataset, "class_dataset_uri")
        if spec.training.initial_lora is not None:
            await self._require_lora(spec.training.initial_lora.model_id, spec.training.initial_lora.uri)

    async def _require_photos(self, dataset: Dataset, parameter: str) -> int | None:
        """The number of photos of a dataset; None outside of the namespace's own folder."""
        bucket, prefix = parse_uri(dataset.uri)
        if not f"s3://{bucket}/{prefix}".startswith(self._policy.folders(self._namespace)):
            return None
        names = await self._backend.call(STORAGE_SECONDS, self._storage.names_in, prefix)
        photos = sum(is_photo_name(each) and role_and_stem(each)[0] is FileRole.PHOTO for each in names)
        if not photos:
            message = f"There are no photos in {dataset.uri}: put {FORMAT_NAMES} files there, or correct the address."
            raise invalid_request([FieldError(parameter, message, dataset.uri)])
        return photos

    async def _require_lora(self, model_id: str | None, uri: str | None) -> None:
        if model_id is not None:
            try:
                await self._model_catalog.require(model_id)
            except UnknownModelError as error:
                raise UnknownModelError(str(error), (FieldError("initial_lora", str(error), model_id),)) from None
        elif uri is not None and uri.startswith(self._policy.lora_folders(self._namespace)):
            key = uri.removeprefix(f"s3://{self._storage.bucket}/")
            if await self._backend.call(STORAGE_SECONDS, self._storage.media_type, key) is None:
                message = f"There is no LoRA file {uri}. Store it there, or correct the address."
                raise UnknownModelError(message, (FieldError("initial_lora", message, uri),))

    @property
    def _policy(self) -> DatasetPolicy:
        return DatasetPolicy(self._storage.bucket)
