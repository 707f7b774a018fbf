"""What a training refers to in object storage: an existing dataset, class pictures, an initial LoRA.

Called by training/service.py. The operator and the runner apply the same policy to jobs from YAML.
"""

from starlette.requests import Request

from darkroom_contract.photos.limits import FORMAT_NAMES, is_photo_name
from darkroom_contract.specs.dataset import Dataset
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_contract.storage.keys import parse_uri
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import STORAGE_SECONDS
from darkroom_gateway.errors import FieldError, invalid_request
from darkroom_gateway.http.unexpected_input import has_body
from darkroom_gateway.models.catalog import ModelCatalog
from darkroom_gateway.photos.file_roles import FileRole, role_and_stem
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.training.contradictions import too_many_held_out

_PARAMETERS = {"dataset": "dataset_uri", "training.priorPreservation.dataset": "class_dataset_uri"}
"""The parameter of a dataset, by the path of its field. Further concepts are in JSON only."""


async def require_no_body(request: Request) -> None:
    """Raises `InvalidRequestError` for photos beside `dataset_uri`."""
    if await has_body(request):
        message = "Remove the body, or leave dataset_uri out: a training has one set of photos."
        raise invalid_request([FieldError("dataset_uri", message)])


class TrainingReferences:
    """Checks that jobs may read what a training refers to, and that it exists."""

    def __init__(
        self,
        storage: ObjectStorage,
        backend: Backend,
        namespace: str,
        policy: DatasetPolicy,
        model_catalog: ModelCatalog,
    ) -> None:
        self._storage = storage
        self._backend = backend
        self._namespace = namespace
        self._policy = policy
        self._model_catalog = model_catalog

    async def require(self, spec: TrainJobSpec, *, uploads_photos: bool) -> None:
        """Raises `InvalidRequestError` for a dataset or LoRA file that jobs may not read or that does not exist, and
        `UnknownModelError` for an unknown model."""
        for path, dataset in spec.datasets.items():
            if path == "dataset" and uploads_photos:
                continue
            photos = await self._require_photos(dataset, _PARAMETERS.get(path, f"{path}.uri"))
            if path == "dataset" and photos is not None and spec.training.held_out_photos >= photos:
                raise too_many_held_out(spec.training.held_out_photos, photos)
        lora = spec.training.initial_lora
        if lora is not None and lora.model_id is not None:
            await self._model_catalog.require(lora.model_id, "initial_lora")
        elif lora is not None and lora.uri is not None:
            await self._require_file(lora.uri)

    async def _require_photos(self, dataset: Dataset, parameter: str) -> int | None:
        """The number of photos of a dataset; None for one of another bucket."""
        _refuse(parameter, dataset.uri, self._policy.fault(dataset.uri, self._namespace))
        bucket, prefix = parse_uri(dataset.uri)
        if bucket != self._storage.bucket:
            return None
        keys = await self._backend.call(STORAGE_SECONDS, self._storage.sizes, prefix)
        photos = sum(_is_photo(key.removeprefix(prefix)) for key in keys)
        advice = f"There are no photos in {dataset.uri}: store {FORMAT_NAMES} files there, or correct the address."
        _refuse(parameter, dataset.uri, None if photos else advice)
        return photos

    async def _require_file(self, uri: str) -> None:
        """The run checks files of other buckets: the gateway's credentials may not read them."""
        _refuse("initial_lora", uri, self._policy.lora_fault(uri, self._namespace))
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if bucket == self._storage.bucket:
            size_bytes = await self._backend.call(STORAGE_SECONDS, self._storage.size_of, bucket, key)
            advice = f"There is no LoRA file {uri}. Store it there, or correct the address."
            _refuse("initial_lora", uri, advice if size_bytes is None else None)


def _is_photo(name: str) -> bool:
    return is_photo_name(name) and role_and_stem(name)[0] is FileRole.PHOTO


def _refuse(parameter: str, given: str, fault: str | None) -> None:
    """Raises `InvalidRequestError` if there is a fault."""
    if fault is not None:
        raise invalid_request([FieldError(parameter, fault, given)])
