"""The queue of unfinished jobs, as they are added, changed and removed."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.operator_snapshots import NOW

from darkroom_contract.names import Kind
from darkroom_operator.cache.cache import Cache
from darkroom_operator.scheduling.job_state import is_finished
from darkroom_operator.scheduling.policy import PriorityThenAge

UIDS = st.sampled_from(["a", "b", "c", "d"])
PHASES = st.sampled_from([None, "Queued", "Running", "Succeeded", "Failed"])


def document(uid: str, version: int, priority: int, phase: str | None, second: int) -> dict[str, Any]:
    metadata = {
        "name": uid,
        "namespace": "default",
        "uid": uid,
        "resourceVersion": str(version),
        "generation": 1,
        "creationTimestamp": f"2026-11-25T12:00:0{second}Z",
    }
    status = {} if phase is None else {"phase": phase}
    return {"metadata": metadata, "spec": {"prompt": "a star", "priority": priority}, "status": status}


CHANGES = st.tuples(UIDS, st.integers(1, 40), st.integers(-1, 1), PHASES, st.integers(0, 9), st.booleans())


@given(st.lists(CHANGES, max_size=30))
def test_it_equals_the_sorted_unfinished_jobs(changes: list[Any]) -> None:
    cache = Cache()
    for uid, version, priority, phase, second, is_last in changes:
        cache.see(Kind.GENERATE.plural, document(uid, version, priority, phase, second))
        if is_last:
            cache.jobs.forget(uid)
        unfinished = [job for job in cache.jobs.view.values() if not is_finished(job)]
        assert list(cache.jobs.pending) == sorted(
            unfinished, key=lambda job: (PriorityThenAge().key(job, NOW), job.uid)
        )
