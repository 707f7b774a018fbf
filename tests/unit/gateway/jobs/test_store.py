"""The job store: newer versions win, lists are paginated, and a job takes little memory."""

import gc
import tracemalloc
import uuid
from typing import Any

import pytest
from support.cost import peak_bytes, steps_taken

from darkroom_contract.names import FINALIZER_FILES, LABEL_DELETE_FILES, LABEL_SUBMITTED_BY, Kind
from darkroom_contract.status import Phase
from darkroom_gateway.errors import InvalidRequestError, UnreadableJobError
from darkroom_gateway.jobs.cursors import read_cursor, write_cursor
from darkroom_gateway.jobs.index import JobFilter
from darkroom_gateway.jobs.store import JobPage, JobStore
from darkroom_gateway.jobs.stored_job import Position

Json = dict[str, Any]
MANY = 2_000
JOB_BYTES = 4_000


def a_document(number: int, version: int | None = None, kind: Kind = Kind.GENERATE, **changes: Any) -> Json:
    """The job of that number, created at that second, with its own uid unless `uid` is given."""
    hours, rest = divmod(number, 3600)
    metadata = {
        "name": f"job-{number}",
        "namespace": "default",
        "uid": changes.pop("uid", str(uuid.UUID(int=number + 1))),
        "resourceVersion": str(number + 1 if version is None else version),
        "creationTimestamp": changes.pop("created", f"2026-01-01T{hours:02d}:{rest // 60:02d}:{rest % 60:02d}Z"),
        "labels": {LABEL_SUBMITTED_BY: changes.pop("by", "alice")},
        "managedFields": [{"manager": "somebody"}],
    }
    spec: Json = {"prompt": f"a dog on beach number {number}"}
    if kind is Kind.TRAIN:
        spec |= {"modelId": f"dog-{number}", "dataset": {"uri": "s3://darkroom/datasets/default/x/"}}
    status = {"phase": changes.pop("phase", "Queued"), **changes}
    return {"apiVersion": "darkroom.dev/v1alpha1", "kind": kind.value, "metadata": metadata, "spec": spec} | {
        "status": status
    }


def a_store(*documents: Json) -> JobStore:
    store = JobStore()
    for each in documents:
        store.put(each)
    return store


def a_page(store: JobStore, limit: int = 100, behind: Position | None = None, **filters: Any) -> JobPage:
    if "phase" in filters:
        filters["phases"] = (filters.pop("phase"),)
    return store.page(JobFilter(**filters), limit, behind)


def names(page: JobPage) -> list[str]:
    return [job.name for job in page.jobs]


def test_outdated_updates_are_ignored() -> None:
    store = a_store(a_document(1, 7, phase="Running"))

    store.put(a_document(1, 6, phase="Queued"))

    assert a_page(store).jobs[0].phase is Phase.RUNNING


def test_deleted_job_does_not_reappear() -> None:
    store = a_store(a_document(1, 7))
    store.remove(Kind.GENERATE, "job-1", str(uuid.UUID(int=2)))

    store.put(a_document(1, 8))

    assert a_page(store) == JobPage([], 0, None)


def test_updates_of_a_deleted_job_do_not_affect_its_successor_of_the_same_name() -> None:
    store = a_store(a_document(1, 7, uid="first"), a_document(1, 9, uid="second"))

    store.remove(Kind.GENERATE, "job-1", "first")
    store.put(a_document(1, 8, uid="first", phase="Failed"))

    assert [(job.uid, job.phase) for job in a_page(store).jobs] == [("second", Phase.QUEUED)]


def test_list_removes_missing_jobs_but_not_newer_ones() -> None:
    store = a_store(a_document(1, 5), a_document(2, 6), a_document(3, 11))

    store.retain(Kind.GENERATE, [str(uuid.UUID(int=2))], 10)

    assert names(a_page(store)) == ["job-3", "job-1"]


def test_restarted_resource_versions_are_accepted() -> None:
    store = a_store(a_document(1, 500))

    store.clear(Kind.GENERATE)
    store.put(a_document(1, 3, phase="Failed"))

    assert [job.phase for job in a_page(store).jobs] == [Phase.FAILED]


def test_list_order_within_a_second_is_the_reversed_queue_order() -> None:
    """As in the operator's queue: trainings first, then the order in which the API server stored them."""
    second = {"created": "2026-01-01T00:00:00Z"}
    store = a_store(
        a_document(3, 30, **second),
        a_document(1, 10, **second),
        a_document(4, 90, **second, admissionOrder=20),
        a_document(2, 40, Kind.TRAIN, **second),
    )

    assert names(a_page(store)) == ["job-3", "job-4", "job-1", "job-2"]


def test_job_keeps_its_list_position_until_it_has_an_admission_order() -> None:
    second = {"created": "2026-01-01T00:00:00Z"}
    store = a_store(a_document(1, 10, **second), a_document(2, 11, **second))

    store.put(a_document(1, 12, **second))

    assert names(a_page(store)) == ["job-2", "job-1"]


def test_pages_neither_repeat_nor_skip_jobs_under_concurrent_changes() -> None:
    store = a_store(*(a_document(number) for number in range(100, 120)))
    first = a_page(store, 5)
    store.put(a_document(200))
    store.put(a_document(50))
    store.remove(Kind.GENERATE, "job-115", str(uuid.UUID(int=116)))  # The last of the first page.
    store.remove(Kind.GENERATE, "job-112", str(uuid.UUID(int=113)))

    seen, page = names(first), first
    while page.next is not None:
        page = a_page(store, 5, read_cursor(write_cursor(page.next)))
        seen += names(page)

    assert seen == [f"job-{number}" for number in (*range(119, 112, -1), *range(111, 99, -1), 50)]


def test_filters_and_totals_agree() -> None:
    store = a_store(
        a_document(1, by="alice", phase="Failed"),
        a_document(2, by="bob", phase="Failed"),
        a_document(3, kind=Kind.TRAIN, by="bob"),
        a_document(4, by="bob"),
    )
    store.put(a_document(4, 50, by="bob", phase="Failed"))

    for filters, expected in (
        ({}, [4, 3, 2, 1]),
        ({"phase": Phase.FAILED}, [4, 2, 1]),
        ({"submitted_by": "bob"}, [4, 3, 2]),
        ({"submitted_by": "bob", "phase": Phase.FAILED, "kinds": [Kind.GENERATE]}, [4, 2]),
        ({"kinds": [Kind.TRAIN]}, [3]),
        ({"submitted_by": "nobody"}, []),
    ):
        page = a_page(store, 1, **filters)
        assert names(a_page(store, **filters)) == [f"job-{number}" for number in expected], filters
        assert (page.total, page.next is not None) == (len(expected), len(expected) > 1), filters


def test_unreadable_job_is_found_but_not_listed() -> None:
    document = a_document(1)
    document["spec"] = {"prompt": "a dog", "images": {"count": 1_000_000}}
    store = a_store(document)

    assert a_page(store).total == 0
    stored = store.get(Kind.GENERATE, "job-1")
    assert stored is not None
    with pytest.raises(UnreadableJobError):
        store.read(stored)


def test_model_is_in_training_until_its_last_training_has_ended() -> None:
    store = a_store(a_document(1, kind=Kind.TRAIN))
    assert store.is_being_trained("dog-1")

    store.put(a_document(1, 9, kind=Kind.TRAIN, phase="Failed"))

    assert not store.is_being_trained("dog-1")
    assert not store.is_being_trained("cat")


def test_managed_fields_are_not_stored() -> None:
    stored = a_store(a_document(1)).get(Kind.GENERATE, "job-1")

    assert stored is not None
    assert "managedFields" not in stored.document()["metadata"]


@pytest.mark.parametrize("cursor", ["x", "MQ", "AAAA", "Mi4xLjAuMS5h", write_cursor((1, 7, 1, "a")), "_" * 200])
def test_invalid_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequestError, match="next_cursor"):
        read_cursor(cursor)


def test_job_takes_less_than_four_kilobytes() -> None:
    store, documents = JobStore(), [a_document(number, attempts=1) for number in range(MANY)]
    gc.collect()
    tracemalloc.start()
    for each in documents:
        store.put(each)
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert a_page(store).total == MANY
    assert used / MANY < JOB_BYTES


def test_listing_cost_does_not_depend_on_the_number_of_jobs() -> None:
    few, many = (a_store(*(a_document(number) for number in range(count))) for count in (10, MANY))

    assert steps_taken(lambda: a_page(many, 1)) < 1.5 * steps_taken(lambda: a_page(few, 1))
    assert peak_bytes(lambda: a_page(many, 1)) < 1.5 * peak_bytes(lambda: a_page(few, 1))


def test_jobs_marked_for_deletion_with_files_are_counted() -> None:
    labelled, held = a_document(1), a_document(2)
    labelled["metadata"]["labels"][LABEL_DELETE_FILES] = "true"
    held["metadata"]["finalizers"] = [FINALIZER_FILES]
    store = a_store(labelled, held, a_document(3))
    assert store.marked == 2

    store.remove(Kind.GENERATE, "job-1", labelled["metadata"]["uid"])
    store.put(a_document(2, 9))

    assert store.marked == 0
