"""A gateway next to a simulated operator: removes the files of jobs that are being deleted."""

from darkroom_contract import names
from darkroom_gateway.deletion.deletable_job import DeletableJob, read_deletable_job, run_has_ended
from support.simulated_api import SimulatedApi
from support.simulated_user import JOBS, KINDS


class SimulatedGateway:
    """Its list of jobs may be outdated."""

    def __init__(self, api: SimulatedApi) -> None:
        self.api = api
        self.listed: list[DeletableJob] = []
        self.deleted_uids: set[str] = set()
        """Uids of the jobs whose files were removed."""

    def list_jobs(self) -> None:
        self.listed = [read_deletable_job(KINDS[plural], each) for plural in JOBS for each in self.api.all(plural)]

    def remove_files(self) -> None:
        """Remove the files of listed jobs."""
        leases = self.api.all("leases")
        holders = {each["metadata"].get("annotations", {}).get(names.ANNOTATION_JOB, "") for each in leases}
        for job in self.listed:
            if job.deletes_files and run_has_ended(job, holders):
                self.deleted_uids.add(job.uid)
                if self._is_unchanged(job):
                    self.api.remove(job.kind.plural, job.name)
        self.listed = []

    def _is_unchanged(self, job: DeletableJob) -> bool:
        found = self.api.objects[job.kind.plural].get(job.name)
        return found is not None and found["metadata"]["resourceVersion"] == job.resource_version
