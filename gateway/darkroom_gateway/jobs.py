"""Finding, listing and deleting jobs of both kinds. Called by endpoints/jobs.py and events.py, in worker threads."""

from darkroom_contract.jobs import Job
from darkroom_contract.names import LABEL_SUBMITTED_BY, Kind
from darkroom_contract.status import Phase
from darkroom_gateway.cluster import Cluster
from darkroom_gateway.errors import AmbiguousTaskError, Complaint, UnknownTaskError
from darkroom_gateway.views import STATUS_PATHS, phase_of


class Jobs:
    """The jobs of one namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def find(self, task_id: str, kind: Kind | None = None) -> Job:
        """The job of that name, of one kind or of either. Raises `UnknownTaskError` or `AmbiguousTaskError`."""
        kinds = list(Kind) if kind is None else [kind]
        found = [job for each in kinds if (job := self._cluster.get(each, task_id)) is not None]
        if not found:
            raise _unknown(task_id, kind)
        if len(found) > 1:
            choices = " or ".join(f"kind={each.value}" for each in Kind)
            message = f"Add {choices}: there is a TrainJob and a GenerateJob of the name {task_id}."
            raise AmbiguousTaskError(message, (Complaint("kind", message),))
        return found[0]

    def find_again(self, job: Job) -> Job | None:
        """The same job as it is now, or None when it is gone, even if another has its name."""
        now = self._cluster.get(job.kind, job.name)
        return now if now is not None and now.uid == job.uid else None

    def list(self, kind: Kind | None, phase: Phase | None, submitted_by: str | None) -> list[Job]:
        """Newest first. `submitted_by` is the name of a key, which must have passed `KEY_NAME_PATTERN`."""
        kinds = list(Kind) if kind is None else [kind]
        labels = None if submitted_by is None else {LABEL_SUBMITTED_BY: submitted_by}
        jobs = [job for each in kinds for job in self._cluster.list(each, labels) if phase in (None, phase_of(job))]
        return sorted(jobs, key=lambda job: (job.created, job.uid), reverse=True)

    def delete(self, task_id: str, kind: Kind | None = None) -> Job | None:
        """Delete a job and what it owns. None when it is gone; the job when it waits for its run to end."""
        job = self.find(task_id, kind)
        self._cluster.delete(job)
        return self.find_again(job)


def _unknown(task_id: str, kind: Kind | None) -> UnknownTaskError:
    name = "job" if kind is None else kind.value
    advice = "" if kind is None else f" {STATUS_PATHS[kind]} knows {name}s only; GET /jobs lists both kinds."
    message = f"There is no {name} {task_id}: it was never submitted, or it was deleted.{advice}"
    return UnknownTaskError(message, (Complaint("task_id", message, task_id),))
