"""Requests are retried where that is safe, and a retried submission makes one job."""

from pathlib import Path

import pytest
from support.scripted_gateway import ScriptedGateway, content, document, job, lost_connection, problem

from darkroom_client import Darkroom, errors
from darkroom_client.retries import Retries

TRANSIENT = [
    problem(503, "NotReady"),
    problem(502, "BadGateway"),
    problem(429, "TooManyRequests", Retry_After="0"),
    lost_connection,
]


@pytest.mark.parametrize("failure", TRANSIENT)
def test_retried_submission_has_the_same_key_and_files(
    gateway: ScriptedGateway, darkroom: Darkroom, photos, failure
) -> None:
    gateway.script("POST", "/v1/train-jobs", failure, failure, document(job(), 202))

    submitted = darkroom.train(photos, model_id="my-dog", prompt="a photo of sks dog", training={"rank": 8})

    first, second, third = gateway.sent("POST", "/v1/train-jobs")
    assert submitted.id == "train-a"
    assert len({each.headers["idempotency-key"] for each in (first, second, third)}) == 1
    for part in (b'name="spec"', b'"training": {"rank": 8}', b'filename="1.txt"', b'filename="1.mask.png"'):
        assert part in third.body
    assert len(first.body) == len(third.body)
    assert int(third.headers["content-length"]) == len(third.body)


def test_bytes_of_failed_attempts_are_taken_back(gateway: ScriptedGateway, darkroom: Darkroom, photos: Path) -> None:
    gateway.script("POST", "/v1/train-jobs", problem(503, "NotReady"), lost_connection, document(job(), 202))
    sent: list[int] = []
    darkroom.train(photos, model_id="my-dog", prompt="a photo of sks dog", on_upload=sent.append)
    total = sum(each.stat().st_size for each in photos.iterdir())
    assert sum(sent) == total
    assert sent.count(-total) == 2


def test_two_submissions_have_different_keys(gateway: ScriptedGateway, darkroom: Darkroom) -> None:
    gateway.script("POST", "/v1/generate-jobs", document(job("generate-a"), 202))
    for _ in range(2):
        darkroom.generate("a dog", model_id="my-dog", images={"count": 2})
    first, second = gateway.sent("POST", "/v1/generate-jobs")
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]
    assert first.json == {"prompt": "a dog", "modelId": "my-dog", "images": {"count": 2}}
    assert first.headers["authorization"] == "Bearer secret-key"


def test_error_has_reason_fields_and_request_id(gateway: ScriptedGateway, darkroom: Darkroom) -> None:
    refusal = problem(422, "InvalidRequest", "training.rank: at least 1.", X_Request_ID="r1")
    gateway.script("POST", "/v1/generate-jobs", refusal)
    with pytest.raises(errors.InvalidRequestError, match="at least 1") as caught:
        darkroom.generate("a dog")
    assert caught.value.reason == "InvalidRequest"
    assert caught.value.errors == (errors.FieldProblem("training.rank", "training.rank: at least 1.", "0"),)
    assert caught.value.request_id == "r1"
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("other", [{"rank": ["at least 1"]}, ["at least 1"], "at least 1", 1])
def test_errors_of_another_form_are_left_out(gateway: ScriptedGateway, darkroom: Darkroom, other: object) -> None:
    gateway.script("GET", "/v1/jobs/train-a", document({"detail": "Wrong.", "errors": other, "advice": {}}, 422))
    with pytest.raises(errors.InvalidRequestError, match="Wrong") as caught:
        darkroom.job("train-a")
    assert (caught.value.errors, caught.value.advice) == ((), None)


@pytest.mark.parametrize(
    ("answer", "error", "attempts"),
    [
        (problem(404, "UnknownTask"), errors.NotFoundError, 1),
        (problem(401, "Unauthorized"), errors.UnauthorizedError, 1),
        (problem(409, "ModelInUse"), errors.ConflictError, 1),
        (problem(500, "Internal"), errors.GatewayUnavailableError, 1),
        (problem(503, "NotReady"), errors.GatewayUnavailableError, 4),
        (problem(429, "QuotaReached", Retry_After="86400"), errors.TooManyRequestsError, 1),
        (lost_connection, errors.GatewayUnreachableError, 4),
        (document(["no job"]), errors.UnexpectedAnswerError, 1),
        (content(b"no gzip", Content_Encoding="gzip"), errors.UnexpectedAnswerError, 1),
    ],
)
def test_final_failures_are_typed(gateway: ScriptedGateway, darkroom: Darkroom, answer, error, attempts) -> None:
    gateway.script("GET", "/v1/jobs/train-a", answer)
    with pytest.raises(error):
        darkroom.job("train-a")
    assert len(gateway.requests) == attempts


def test_deletion_whose_answer_was_lost_has_succeeded(gateway: ScriptedGateway, darkroom: Darkroom) -> None:
    gateway.script("DELETE", "/v1/jobs/train-a", lost_connection, problem(404, "UnknownTask"))
    darkroom.delete("train-a", files=True)
    assert [each.path for each in gateway.requests] == ["/v1/jobs/train-a?files=true"] * 2


def test_cancellation_whose_answer_was_lost_has_succeeded(gateway: ScriptedGateway, darkroom: Darkroom) -> None:
    gateway.script("POST", "/v1/jobs/train-a/cancel", lost_connection, problem(404, "UnknownTask"))
    assert darkroom.cancel("train-a") is None


def test_first_deletion_of_an_unknown_job_fails(gateway: ScriptedGateway, darkroom: Darkroom) -> None:
    with pytest.raises(errors.NotFoundError):
        darkroom.delete("train-a")
    assert len(gateway.requests) == 1


def test_answer_of_a_proxy_is_quoted(gateway: ScriptedGateway, darkroom: Darkroom) -> None:
    gateway.script("GET", "/v1/jobs/train-a", document("<html>no route</html>", 400))
    with pytest.raises(errors.InvalidRequestError, match=r"400 Bad Request: .<html>no route"):
        darkroom.job("train-a")


def test_pauses_double_up_to_a_limit_and_retry_after_wins() -> None:
    retries = Retries(attempts=10, first_seconds=1.0, longest_seconds=5.0)
    failure = errors.GatewayUnavailableError(503, "NotReady", "wait")
    pauses = [retries.pause_seconds(failure, attempt) for attempt in range(1, 11)]
    assert pauses[-1] is None
    for pause, longest in zip(pauses[:-1], (1, 2, 4, 5, 5, 5, 5, 5, 5), strict=True):
        assert pause is not None
        assert longest / 2 <= pause <= longest
    asked = errors.GatewayUnavailableError(503, "NotReady", "wait", retry_after_seconds=17.0)
    assert retries.pause_seconds(asked, 1) == 17.0


def test_unrepeatable_request_is_sent_again_only_if_it_was_refused() -> None:
    retries = Retries()
    never_sent = errors.GatewayUnreachableError("http://g", "refused", was_sent=False)
    sent = errors.GatewayUnreachableError("http://g", "reset", was_sent=True)
    assert retries.pause_seconds(never_sent, 1, is_repeatable=False) is not None
    assert retries.pause_seconds(sent, 1, is_repeatable=False) is None
    assert retries.pause_seconds(errors.GatewayUnavailableError(503, "", ""), 1, is_repeatable=False) is None


def test_model_that_is_missing_after_a_refused_attempt_was_not_deleted(
    gateway: ScriptedGateway, darkroom: Darkroom
) -> None:
    """429: the first attempt has done nothing."""
    busy = problem(429, "RateLimited", Retry_After="0")
    gateway.script("DELETE", "/v1/models/my-dog", busy, problem(404, "UnknownModel"))

    with pytest.raises(errors.NotFoundError):
        darkroom.delete_model("my-dog")
