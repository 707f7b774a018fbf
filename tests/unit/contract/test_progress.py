"""Entries of a stream are read from every shape in which redis-py answers."""

from typing import Any

import pytest
from pydantic import ValidationError

from darkroom_contract.progress import ProgressEvent, read_stream_entries, read_streams
from darkroom_contract.specs.images import MAX_IMAGES

PAIRS = [("1-1", {"event": "a"}), ("1-2", {"event": "b"})]


@pytest.mark.parametrize(
    "answer",
    [
        [["s", PAIRS]],
        {"s": [PAIRS]},
        {"s": PAIRS},
        PAIRS,
        [(b"s", [(b"1-1", {b"event": b"a"}), (b"1-2", {b"event": b"b"})])],
        {b"s": [[[b"1-1", {b"event": b"a"}], [b"1-2", {b"event": b"b"}]]]},
    ],
    ids=["protocol 2", "protocol 3", "not legacy", "a range", "bytes", "lists for pairs"],
)
def test_every_shape_gives_the_same_entries(answer: object) -> None:
    assert read_stream_entries(answer) == PAIRS


@pytest.mark.parametrize("answer", [None, [], {}, {"s": []}, {"s": [[]]}, [["s", []]]])
def test_an_empty_stream_is_read_in_every_shape(answer: object) -> None:
    assert read_stream_entries(answer) == []


def test_a_deleted_entry_keeps_its_place() -> None:
    assert read_stream_entries({"s": [[("1-1", None), PAIRS[1]]]}) == [("1-1", {}), PAIRS[1]]


@pytest.mark.parametrize("answer", [1, "OK", ["s", 1], {"s": "x"}])
def test_another_shape_is_refused(answer: object) -> None:
    with pytest.raises(ValueError, match="entries came as"):
        read_stream_entries(answer)


@pytest.mark.parametrize(
    "answer",
    [
        [["s", PAIRS], ["t", PAIRS[:1]]],
        {"s": [PAIRS], "t": [PAIRS[:1]]},
        {"s": PAIRS, "t": PAIRS[:1]},
        [(b"s", [(b"1-1", {b"event": b"a"}), (b"1-2", {b"event": b"b"})]), (b"t", [(b"1-1", {b"event": b"a"})])],
    ],
    ids=["protocol 2", "protocol 3", "not legacy", "bytes"],
)
def test_several_streams_keep_their_names_in_every_shape(answer: object) -> None:
    assert read_streams(answer) == {"s": PAIRS, "t": PAIRS[:1]}


@pytest.mark.parametrize("answer", [None, [], {}])
def test_an_empty_response_is_read_in_every_shape(answer: object) -> None:
    assert read_streams(answer) == {}


@pytest.mark.parametrize("answer", [1, "OK", PAIRS[0], [PAIRS], [["s", 1]], {"s": "x"}])
def test_streams_of_another_shape_are_refused(answer: object) -> None:
    with pytest.raises(ValueError, match=r"came (as|without)"):
        read_streams(answer)


IMAGE = {"seed": 7, "bytes": 3, "sha256": "0" * 64}


def event_with(*images: dict[str, Any]) -> ProgressEvent:
    event = {"attempt": 1, "stage": "Denoising", "time": "2026-01-02T03:04:05Z", "finishedImages": images}
    return ProgressEvent.from_dict(event)


def test_a_finished_image_has_no_key_even_if_an_event_has_one() -> None:
    [image] = event_with(IMAGE | {"key": "runs/another/secret.png", "name": "../secret.png"}).finished_images
    assert image.to_dict() == IMAGE


@pytest.mark.parametrize(
    "images",
    [
        [IMAGE] * (MAX_IMAGES + 1),
        [IMAGE | {"seed": "../../another/a-seed-7.png"}],
        [IMAGE | {"seed": -1}],
        [IMAGE | {"seed": 2**64}],  # The API server would refuse a status with it.
        [IMAGE | {"bytes": 10**30}],
        [IMAGE | {"sha256": "../" + "0" * 61}],
    ],
    ids=["too many", "a path", "no seed", "a huge seed", "no size", "no digest"],
)
def test_other_finished_images_make_an_event_unreadable(images: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        event_with(*images)
