"""The text filter of lists: words of prompts, in the order of pages."""

from typing import Any

import pytest
from support.job_documents import job_document

from darkroom_contract.names import Kind
from darkroom_gateway.errors import InvalidRequestError
from darkroom_gateway.jobs import prompt_index
from darkroom_gateway.jobs.index import JobFilter
from darkroom_gateway.jobs.prompt_index import words_of
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.jobs.stored_job import Position


def store_of(*prompts: str) -> JobStore:
    store = JobStore()
    for number, prompt in enumerate(prompts):
        store.put(job_document(number, prompt))
    return store


def found(store: JobStore, text: str, limit: int = 100, after: Position | None = None, **only: Any) -> list[str]:
    page = store.page(JobFilter(words=words_of(text), **only), limit, after)
    return [job.name for job in page.jobs]


def test_all_words_must_match_in_any_case_and_order() -> None:
    store = store_of("A Dog, on the BEACH", "a dog", "beach and dogs")

    assert found(store, "beach dog") == ["job-2", "job-0"]
    assert found(store, "Dog") == ["job-2", "job-1", "job-0"]
    assert found(store, "dog cat") == []


def test_word_matches_from_its_beginning() -> None:
    store = store_of("watercolour of a dog", "under water", "dishwater")

    assert found(store, "water") == ["job-1", "job-0"]


def test_job_with_several_matching_words_is_found_once() -> None:
    assert found(store_of("dog dogs doghouse"), "dog") == ["job-0"]


def test_other_filters_apply_too() -> None:
    store = store_of("a dog", "a dog")
    store.put(job_document(0, "a dog", version=9, phase="Running"))

    assert found(store, "dog", phases=["Running"]) == ["job-0"]
    assert found(store, "dog", kinds=[Kind.TRAIN]) == []


def test_changed_and_deleted_jobs_stay_and_disappear() -> None:
    store = store_of("a dog", "a dog")
    store.put(job_document(0, "a dog", version=9, phase="Running", admissionOrder=0))
    store.remove(Kind.GENERATE, "job-1", "uid-1")

    assert found(store, "dog") == ["job-0"]
    store.clear(Kind.GENERATE)
    assert found(store, "dog") == []


def test_pages_of_a_search_are_complete_and_without_duplicates() -> None:
    store = store_of(*("a dog" if number % 3 else "a cat" for number in range(50)))
    names, after = list[str](), None
    while True:
        page = store.page(JobFilter(words=("dog",)), 7, after)
        assert page.total is None
        names += [job.name for job in page.jobs]
        after = page.next
        if after is None:
            break

    assert names == [f"job-{number}" for number in reversed(range(50)) if number % 3]


def test_long_search_continues_on_the_next_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_index, "MAX_READ", 10)
    # Each word is as frequent as the other, and only the oldest job has both.
    store = store_of("a dog and a cat", *(["dog"] * 30), *(["cat"] * 30))
    pages, after = 0, None
    while not (page := store.page(JobFilter(words=("cat", "dog")), 5, after)).jobs:
        pages, after = pages + 1, page.next

    assert [job.name for job in page.jobs] == ["job-0"]
    assert pages >= 3


def test_search_with_many_lookups_continues_on_the_next_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_index, "MAX_LOOKUPS", 10)
    # Both beginnings stand for five words, and only the oldest job has both.
    words = range(5)
    store = store_of("dog0 cat0", *(f"dog{each}" for each in words), *(f"cat{each}" for each in words))
    pages, after = 0, None
    while not (page := store.page(JobFilter(words=("cat", "dog")), 5, after)).jobs:
        assert page.next is not None
        pages, after = pages + 1, page.next

    assert [job.name for job in page.jobs] == ["job-0"]
    assert pages == 2  # Of ten look-ups, for two jobs.


def test_word_that_stands_for_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_index, "MAX_WORDS", 3)
    store = store_of("dog dogs doggy doghouse")

    assert found(store, "dogh") == ["job-0"]
    with pytest.raises(InvalidRequestError, match="q: Write more of 'do'"):
        found(store, "do")
