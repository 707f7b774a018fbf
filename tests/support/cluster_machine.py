"""The state machine of a simulated cluster: two operators with stale views that are paused and killed between any two
requests, nodes that fail and return, users who change their minds. Run by test_invariants.py and
test_warm_invariants.py, whose classes check `JobInvariants`.
"""

import os
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from darkroom_contract.outcome import Outcome, Reason
from support.job_invariants import SECRET, JobInvariants
from support.operator_snapshots import failure
from support.queue_order import KeptPlaces
from support.simulated_api import PLURALS, SimulatedApi
from support.simulated_gateway import SimulatedGateway
from support.simulated_node import SimulatedNode
from support.simulated_operator import SimulatedOperator
from support.simulated_user import JOBS, SimulatedUser

MOST_JOBS = 8
OPERATORS = st.sampled_from([0, 1])
MODEL = "m"
NEW_FIELDS = frozenset({"admissionOrder", "runStartTime", "interruptions", "savedStep", "remarks", "finishedImages"})
"""Of a status, which the CRDs of release 0.1.0 drop."""
DATASETS = {"s3_bucket": "darkroom", "dataset_uris": ("s3://darkroom/datasets/x/",)}
STORAGE_FAILURE = failure(Reason.STORAGE_UNAVAILABLE)


class OneAtATime(JobInvariants):
    """Two operators, one slot."""

    operator_settings: ClassVar[dict[str, Any]] = {}
    """Further settings of the operators."""

    @initialize(backoff_limit=st.integers(0, 2), has_old_crds=st.booleans())
    def begin(self, backoff_limit: int, has_old_crds: bool) -> None:
        self.api = SimulatedApi(dropped=NEW_FIELDS if has_old_crds else frozenset())
        self.user, self.node = SimulatedUser(self.api), SimulatedNode(self.api)
        self.gateway, self.places = SimulatedGateway(self.api), KeptPlaces(self.api)
        self.operators = [
            SimulatedOperator(self.api, self.slots, **DATASETS, **self.operator_settings) for _ in range(2)
        ]
        self.created = 0
        self.ends, self.counts = {}, {}
        for _ in range(3):
            self.create_job(0, backoff_limit, None)
        self.operators[0].rest()

    # Operators

    @rule(operator=OPERATORS, watches=st.sets(st.sampled_from(PLURALS)), pauses=st.integers(1, 30))
    def an_operator_sees_something_and_sends_some_requests(self, operator: int, watches: set[str], pauses: int) -> None:
        for plural in sorted(watches):
            self.operators[operator].see(plural)
        self.operators[operator].step(pauses)

    @rule(operator=OPERATORS, pauses=st.integers(0, 30))
    def an_operator_sees_all_and_is_paused_somewhere(self, operator: int, pauses: int) -> None:
        self.operators[operator].rest()
        self.operators[operator].see_all()
        self.operators[operator].step(pauses)

    @rule(operator=OPERATORS, pauses=st.integers(1, 30))
    def an_operator_sends_some_requests(self, operator: int, pauses: int) -> None:
        self.operators[operator].step(pauses)

    @rule(operator=OPERATORS, plural=st.sampled_from(PLURALS), events=st.integers(1, 5))
    def a_watch_shows_something(self, operator: int, plural: str, events: int) -> None:
        self.operators[operator].see(plural, events)

    @rule(operator=OPERATORS, plural=st.sampled_from(PLURALS))
    def a_watch_breaks_and_everything_is_listed_again(self, operator: int, plural: str) -> None:
        self.operators[operator].list_again(plural)

    @rule(operator=OPERATORS, how=st.sampled_from(["killed", "lost", "unanswered", "refused"]))
    def an_operator_crashes_or_its_request_fails(self, operator: int, how: str) -> None:
        if how == "killed":
            self.operators[operator].crash()
        else:
            self.operators[operator].kube.breaks = how

    # Nodes

    @precondition(lambda self: self.node.live())
    @rule(data=st.data(), what=st.sampled_from(["start", "finish", "fail", "give up"]))
    def a_run_starts_or_ends(self, data: st.DataObject, what: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.node.live())))
        if self.node.has_ended(name):
            self.node.end_sidecar(name)
        elif self.node.is_evicted(name) and what != "finish":
            self.node.interrupt(name)
        else:
            {
                "start": lambda: self.node.start(name),
                "finish": lambda: self.node.finish(name),
                "fail": lambda: self.node.end(name, STORAGE_FAILURE, 75),
                "give up": lambda: self.node.end(name, failure(Reason.MODEL_NOT_FOUND), 2),
            }[what]()

    @precondition(lambda self: any(not self.node.has_ended(name) for name in self.node.live()))
    @rule(data=st.data(), what=st.sampled_from(["lose", "evict", "succeed beside a sidecar", "fail beside a sidecar"]))
    def the_cluster_disrupts_a_run(self, data: st.DataObject, what: str) -> None:
        name = data.draw(st.sampled_from([each for each in sorted(self.node.live()) if not self.node.has_ended(each)]))
        self.node.start(name)
        {
            "lose": lambda: self.node.lose(name),
            "evict": lambda: self.node.evict(name),
            "succeed beside a sidecar": lambda: self.node.end_beside_a_sidecar(name, Outcome(succeeded=True)),
            "fail beside a sidecar": lambda: self.node.end_beside_a_sidecar(name, STORAGE_FAILURE, 75),
        }[what]()

    @rule(seconds=st.sampled_from([0, 1, 3, 20]))
    def time_passes_and_what_was_deleted_goes(self, seconds: int) -> None:
        self.api.pass_time(seconds)
        self.node.collect_garbage()
        self.node.remove_deleted()

    # Users

    @precondition(lambda self: self.created < MOST_JOBS)
    @rule(priority=st.integers(0, 2), backoff_limit=st.integers(0, 2), kind=st.sampled_from([None, "draw", "train"]))
    def create_job(self, priority: int, backoff_limit: int, kind: str | None) -> None:
        """`draw`: a generation with the one model; `train`: a training of it."""
        spec = {"priority": priority, "backoffLimit": backoff_limit, "startDeadlineSeconds": 60}
        if kind == "train":
            self.user.train(f"job-{self.created}", MODEL, **spec)
        else:
            self.user.create(f"job-{self.created}", **spec, **({"modelId": MODEL} if kind == "draw" else {}))
        self.created += 1

    @precondition(lambda self: self.created < MOST_JOBS)
    @rule(priority=st.integers(0, 2), suspend=st.booleans())
    def create_a_training_that_is_refused(self, priority: int, suspend: bool) -> None:
        self.user.train(f"job-{self.created}", MODEL, dataset=SECRET, priority=priority, suspend=suspend)
        self.created += 1

    @rule(data=st.data(), what=st.sampled_from(["suspend", "resume", "delete", "raise", "lower"]))
    def a_user_changes_their_mind(self, data: st.DataObject, what: str) -> None:
        if not (jobs := sorted((plural, name) for plural in JOBS for name in self.api.objects[plural])):
            return
        plural, name = data.draw(st.sampled_from(jobs))
        if what == "delete":
            self.api.delete(plural, name)
        elif what in ("raise", "lower"):
            self.user.prioritize(plural, name, 3 if what == "raise" else -1)
        else:
            self.user.suspend(plural, name, what == "suspend")

    @rule(data=st.data(), runs=st.booleans())
    def a_user_deletes_a_job_with_its_files(self, data: st.DataObject, runs: bool) -> None:
        running = {self.job_uid_of(name) for name in self.node.live()}
        found = [(plural, job["metadata"]) for plural in JOBS for job in self.api.all(plural)]
        names = sorted((plural, each["name"]) for plural, each in found if not runs or each["uid"] in running)
        if names:
            plural, name = data.draw(st.sampled_from(names))
            self.user.keep_until_its_files_are_gone(plural, name)
            self.api.delete(plural, name)

    @rule(what=st.sampled_from(["list", "remove", "both"]))
    def a_gateway_removes_files(self, what: str) -> None:
        if what != "remove":
            self.gateway.list_jobs()
        if what != "list":
            self.gateway.remove_files()

    @rule(pods=st.sampled_from([None, 0, 1]))
    def an_administrator_sets_a_quota(self, pods: int | None) -> None:
        self.api.pod_quota = pods

    @rule(gate=st.sampled_from([None, "kueue.x-k8s.io/admission"]))
    def a_webhook_adds_a_gate_to_new_pods(self, gate: str | None) -> None:
        self.api.added_gate = gate

    @rule(data=st.data(), plural=st.sampled_from(["pods", "leases"]))
    def somebody_deletes_an_object(self, data: st.DataObject, plural: str) -> None:
        if objects := sorted(self.api.objects[plural]):
            self.api.delete(plural, data.draw(st.sampled_from(objects)))


class TwoSlots(OneAtATime):
    """The same with two slots."""

    slots = 2

    @invariant()
    def never_two_live_pods(self) -> None:
        pods = {name: self.api.objects["pods"][name]["metadata"]["labels"] for name in self.node.live()}
        slots = [labels["darkroom.dev/slot"] for labels in pods.values()]
        jobs = [labels["darkroom.dev/job-uid"] for labels in pods.values()]
        assert len(set(slots)) == len(slots), pods
        assert len(set(jobs)) == len(jobs), pods


def settings_of(examples: int, steps: int) -> Any:
    nightly = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
    return settings(
        max_examples=examples * (25 if nightly else 1),
        stateful_step_count=steps * (2 if nightly else 1),
        deadline=None,
        derandomize=not nightly,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
