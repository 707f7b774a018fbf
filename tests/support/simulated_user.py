"""The user of a simulated API: creates, changes and deletes jobs."""

from typing import Any

from darkroom_contract import names
from darkroom_contract.names import Kind
from support.simulated_api import SimulatedApi

Json = dict[str, Any]
KINDS = {kind.plural: kind for kind in Kind}
GENERATE, TRAIN = Kind.GENERATE.plural, Kind.TRAIN.plural
JOBS = (GENERATE, TRAIN)


class SimulatedUser:
    """What people do to jobs."""

    def __init__(self, api: SimulatedApi) -> None:
        self.api = api

    def create(self, name: str, **spec: Any) -> None:
        document = {"metadata": {"name": name, "generation": 1}, "spec": {"prompt": "a red circle", **spec}}
        self.api.create(GENERATE, document)

    def train(self, name: str, model_id: str, **spec: Any) -> None:
        dataset = {"uri": "s3://darkroom/datasets/x/"}
        document = {"prompt": "a sks star", "modelId": model_id, "dataset": dataset, **spec}
        self.api.create(TRAIN, {"metadata": {"name": name, "generation": 1}, "spec": document})

    def keep_until_its_files_are_gone(self, plural: str, name: str) -> None:
        if "deletionTimestamp" not in self.api.get(plural, name)["metadata"]:
            self.api.patch(plural, name, {"metadata": {"finalizers": [names.FINALIZER_FILES]}})

    def suspend(self, plural: str, name: str, yes: bool) -> None:
        self._change(plural, name, suspend=yes)

    def prioritize(self, plural: str, name: str, priority: int) -> None:
        self._change(plural, name, priority=priority)

    def _change(self, plural: str, name: str, **spec: Any) -> None:
        """The API server counts the generation up, whatever phase the job is in."""
        generation = self.api.get(plural, name)["metadata"]["generation"] + 1
        self.api.patch(plural, name, {"metadata": {"generation": generation}, "spec": spec})

    def jobs(self) -> list[Json]:
        return [job for plural in JOBS for job in self.api.all(plural)]

    def phases(self) -> dict[str, str]:
        """By uid."""
        return {job["metadata"]["uid"]: job.get("status", {}).get("phase", "") for job in self.jobs()}


def phase_of(job: Json) -> str:
    phase: str = job.get("status", {}).get("phase", "")
    return phase
