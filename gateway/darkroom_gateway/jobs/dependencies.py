"""Endpoint parameters and dependencies that several features share."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Response

from darkroom_contract.jobs import Job
from darkroom_contract.names import MAX_JOB_NAME_LENGTH, Kind
from darkroom_gateway.auth.middleware import KeyName
from darkroom_gateway.http.case_insensitive import case_insensitive
from darkroom_gateway.jobs.schemas import TaskAccepted
from darkroom_gateway.jobs.serializers import accepted
from darkroom_gateway.jobs.task_ids import IDEMPOTENCY_KEY_PATTERN, TASK_ID_PATTERN

TaskIdInQuery = Annotated[
    str,
    Query(
        pattern=TASK_ID_PATTERN,
        max_length=MAX_JOB_NAME_LENGTH,
        description="The task_id that the submission returned.",
        examples=["train-k3x9q2m7ab"],
    ),
]
TaskIdInPath = Annotated[
    str,
    Path(
        pattern=TASK_ID_PATTERN,
        max_length=MAX_JOB_NAME_LENGTH,
        description="The task_id that the submission returned, or the name of a job created with kubectl.",
        examples=["train-k3x9q2m7ab"],
    ),
]
JobIdInPath = Annotated[
    str,
    Path(
        alias="id",
        pattern=TASK_ID_PATTERN,
        max_length=MAX_JOB_NAME_LENGTH,
        description="The id of the job.",
        examples=["train-k3x9q2m7ab"],
    ),
]
KindInQuery = Annotated[
    Kind | None,
    case_insensitive(Kind),
    Query(description="TrainJob or GenerateJob. Needed only when one of each has the same name."),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=IDEMPOTENCY_KEY_PATTERN,
        description="A value of your choice. A repeated request with the same value returns the first request's task.",
    ),
]


@dataclass(frozen=True)
class Submitter:
    """Who submits a job, and with which idempotency key."""

    key_name: str | None
    """Name of the API key; None when the gateway needs none."""
    idempotency_key: str | None


async def _submitter(key_name: KeyName, idempotency_key: IdempotencyKey = None) -> Submitter:
    return Submitter(key_name, idempotency_key)


SubmitterOfRequest = Annotated[Submitter, Depends(_submitter)]


def accept(job: Job, response: Response, root_path: str) -> TaskAccepted:
    """The body of an accepted submission. Sets the response's `Location`."""
    answer = accepted(job, root_path)
    response.headers["Location"] = answer.status_url
    return answer
