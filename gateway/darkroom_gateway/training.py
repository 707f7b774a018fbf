"""Taking a training: photos are checked and stored, then one TrainJob is created. Called by endpoints/train.py."""

import logging

from anyio import to_thread
from starlette.requests import Request

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.specs import TrainJobSpec
from darkroom_contract.storage import dataset_prefix, dataset_uri, parse_uri
from darkroom_gateway.base_models import BaseModels
from darkroom_gateway.busy import Busy
from darkroom_gateway.errors import ClusterUnavailableError, GatewayError, StorageUnavailableError
from darkroom_gateway.parameters import TrainParameters, train_spec
from darkroom_gateway.photos import Photo, PhotoDoor, fingerprint
from darkroom_gateway.storage import Storage
from darkroom_gateway.submission import Submission, require_same_photos, task_id
from darkroom_gateway.task_ids import new_dataset_id

log = logging.getLogger(__name__)


class Training:
    """Takes trainings."""

    def __init__(
        self, submission: Submission, storage: Storage, photo_door: PhotoDoor, base_models: BaseModels, busy: Busy
    ) -> None:
        self._submission = submission
        self._storage = storage
        self._photo_door = photo_door
        self._base_models = base_models
        self._busy = busy

    async def submit(
        self, parameters: TrainParameters, request: Request, idempotency_key: str | None, key_name: str | None
    ) -> Job:
        """Everything is checked before anything is stored, and stored before anything is created.

        Raises `KeyReusedError` when the key came with other parameters or photos before, and `InvalidRequestError` for
        a base model that is not there.
        """
        prefix = dataset_prefix(self._submission.namespace, new_dataset_id())
        spec = train_spec(parameters, dataset_uri(self._storage.bucket, prefix))
        name = task_id(Kind.TRAIN, idempotency_key)
        if idempotency_key is not None:
            earlier = await to_thread.run_sync(self._submission.find_earlier, name, spec)
            if earlier is not None:
                require_same_photos(earlier, await self._photo_door.fingerprint(request))
                return earlier
        await to_thread.run_sync(self._base_models.require, spec.base_model)
        await to_thread.run_sync(self._busy.require_room)
        async with self._photo_door.receive(request) as photos:
            return await to_thread.run_sync(self._store_and_create, name, spec, prefix, photos, key_name)

    def _store_and_create(
        self, name: str, spec: TrainJobSpec, prefix: str, photos: list[Photo], key_name: str | None
    ) -> Job:
        keys = [f"{prefix}{number:03d}.{photo.extension}" for number, photo in enumerate(photos)]
        try:
            for key, photo in zip(keys, photos, strict=True):
                self._storage.put(key, photo.file, photo.content_type)
            job = self._submission.create_or_find(name, spec, key_name, fingerprint(each.sha256 for each in photos))
        except ClusterUnavailableError as error:
            if not error.maybe_done:
                self._clean_up(keys)
                raise
            # Nobody knows whether the job was created: photos that nobody needs do less harm than a job without any.
            log.error("left %d photos in %s: whether %s was created can't be told", len(keys), prefix, name)
            raise
        except GatewayError:
            self._clean_up(keys)
            raise
        if isinstance(job.spec, TrainJobSpec) and parse_uri(job.spec.dataset.uri)[1] != prefix:
            self._clean_up(keys)  # Another copy of this request came first, with photos of its own.
        return job

    def _clean_up(self, keys: list[str]) -> None:
        """Remove photos that no job will use. The failure that led here is what the person is told."""
        try:
            self._storage.delete(keys)
        except StorageUnavailableError as error:
            log.error("left photos behind, such as %s: %s", keys[0], error)
