"""What must hold in a simulated cluster after any events, and that its jobs end once nothing else goes wrong."""

from collections import Counter
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant

from darkroom_contract.outcome import Reason
from darkroom_contract.status import Phase
from support.queue_order import KeptPlaces
from support.simulated_api import SimulatedApi
from support.simulated_gateway import SimulatedGateway
from support.simulated_node import SimulatedNode
from support.simulated_operator import SimulatedOperator
from support.simulated_user import SimulatedUser, phase_of

FINISHED = ("Succeeded", "Failed")
SECRET = {"uri": "s3://darkroom/datasets/lab/secret/"}
"""No training may read it, so a job that wants to is refused."""


class JobInvariants(RuleBasedStateMachine):
    """A state machine without rules: subclasses set the attributes and add the rules."""

    slots = 1
    api: SimulatedApi
    user: SimulatedUser
    node: SimulatedNode
    gateway: SimulatedGateway
    operators: list[SimulatedOperator]
    places: KeptPlaces
    ends: dict[str, str]
    """The final phases seen, by uid."""
    counts: dict[str, tuple[int, int]]
    """The numbers of failures and interruptions seen, by uid."""

    @invariant()
    def never_two_live_pods(self) -> None:
        assert len(self.node.live()) <= 1, self.node.live()

    @invariant()
    def a_finished_job_stays_what_it_is(self) -> None:
        phases = self.user.phases()
        for uid, end in self.ends.items():
            assert phases.get(uid, end) == end
        self.ends |= {uid: phase for uid, phase in phases.items() if phase in FINISHED}

    @invariant()
    def no_run_of_a_job_whose_files_are_gone_is_alive(self) -> None:
        running = self.node.live_runs()
        assert not running & self.gateway.deleted_uids, running

    @invariant()
    def a_run_document_is_carried_out_at_most_once(self) -> None:
        begun = Counter(run for runner in self.node.runners.values() for run in runner.begun)
        assert all(count == 1 for count in begun.values()), begun

    @invariant()
    def a_job_succeeds_with_the_files_of_its_own_run(self) -> None:
        begun = {run for runner in self.node.runners.values() for run in runner.begun}
        for job in self.user.jobs():
            uid, status = job["metadata"]["uid"], job.get("status", {})
            if phase_of(job) == "Succeeded":
                assert (uid, status["attempts"]) in begun, status
                assert all(each["key"].startswith(f"runs/{uid}/") for each in status["artifacts"]), status

    @invariant()
    def a_refused_job_never_has_a_pod(self) -> None:
        astray = {each["metadata"]["uid"] for each in self.user.jobs() if each["spec"].get("dataset") == SECRET}
        assert not astray & {self.job_uid_of(name) for name in self.api.objects["pods"]}
        for job in self.user.jobs():
            conditions = {each["type"]: each["reason"] for each in job.get("status", {}).get("conditions", [])}
            is_refused = conditions.get("Failed") == Reason.DATASET_NOT_ALLOWED
            assert is_refused == (job["metadata"]["uid"] in astray and phase_of(job) in FINISHED), job

    def job_uid_of(self, pod: str) -> str:
        uid: str = self.api.objects["pods"][pod]["metadata"]["labels"]["darkroom.dev/job-uid"]
        return uid

    @invariant()
    def a_slot_goes_to_the_first_job_of_the_queue(self) -> None:
        """As far as the operator that assigns it can see, and to the job whose idle pod left without any exception."""
        for operator in self.operators:
            assert not operator.executor.overtaken, operator.executor.overtaken
        assert not (lost := self.places.lost()), lost

    @invariant()
    def an_interruption_never_counts_as_a_failure(self) -> None:
        for job in self.user.jobs():
            status, uid = job.get("status", {}), job["metadata"]["uid"]
            counts = status.get("failures", 0), status.get("interruptions", 0)
            if counts[0] > self.counts.get(uid, (0, 0))[0]:
                reasons = {each["type"]: each["reason"] for each in status["conditions"]}
                assert reasons.get("PodReady") != "Interrupted", status
                messages = {each["type"]: each["message"] for each in status["conditions"]}
                assert not messages.get("Failed", "").startswith("Interrupted"), status
            self.counts[uid] = counts

    def teardown(self) -> None:
        """From here on nothing else goes wrong, and every job ends. A quota that was set has room for one run."""
        self.api.pod_quota = None if self.api.pod_quota is None else 1
        for _ in range(60):
            self.settle()
            if self.is_settled():
                return
        unsettled = [(job["metadata"], job.get("status")) for job in self.user.jobs() if not self.is_at_rest(job)]
        raise AssertionError(f"not settled: {unsettled}, live: {self.node.live()}")

    def settle(self) -> None:
        self.node.collect_garbage()
        self.node.remove_deleted()
        for operator in self.operators:
            waiting = self.waiting_for_the_model()
            operator.kube.breaks = None
            operator.rest()
            operator.read_outcomes(self.node.published)
            operator.rest()
            self.gateway.list_jobs()
            self.gateway.remove_files()
            self.no_run_of_a_job_whose_files_are_gone_is_alive()
            self.a_run_document_is_carried_out_at_most_once()
            self.a_job_succeeds_with_the_files_of_its_own_run()
            self.a_refused_job_never_has_a_pod()
            self.never_two_live_pods()
            self.a_finished_job_stays_what_it_is()
            self.a_slot_goes_to_the_first_job_of_the_queue()
            self.an_interruption_never_counts_as_a_failure()
            if self.slots == 1:
                assert not waiting & self.failed_for_their_model()
        for name in self.node.live():
            if not self.node.has_ended(name):  # A sidecar ends only with its pod.
                self.end_run(name)
        self.api.pass_time(20)

    def end_run(self, name: str) -> None:
        self.node.finish(name)

    def waiting_for_the_model(self) -> set[str]:
        """Unfinished generations while a training of their model is unfinished."""
        unfinished = [job for job in self.user.jobs() if phase_of(job) not in FINISHED]
        if not any("dataset" in job["spec"] for job in unfinished):
            return set()
        generations = (job for job in unfinished if "dataset" not in job["spec"] and "modelId" in job["spec"])
        return {job["metadata"]["uid"] for job in generations}

    def failed_for_their_model(self) -> set[str]:
        found = set()
        for job in self.user.jobs():
            conditions = {each["type"]: each["reason"] for each in job.get("status", {}).get("conditions", [])}
            if conditions.get("Failed") == "ModelNotFound":
                found.add(job["metadata"]["uid"])
        return found

    def is_settled(self) -> bool:
        free = all(not lease["spec"].get("holderIdentity") for lease in self.api.all("leases"))
        return free and not self.node.live() and all(self.is_at_rest(job) for job in self.user.jobs())

    def is_at_rest(self, job: dict[str, Any]) -> bool:
        """Finished or suspended; or a generation that waits for a suspended training and says so."""
        if phase_of(job) in (*FINISHED, Phase.SUSPENDED.value):
            return True
        conditions = {each["type"]: each["reason"] for each in job.get("status", {}).get("conditions", [])}
        suspended = [each for each in self.user.jobs() if "dataset" in each["spec"] and phase_of(each) == "Suspended"]
        return conditions.get("Admitted") == "WaitingForModel" and bool(suspended)
