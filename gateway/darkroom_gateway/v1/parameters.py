"""Endpoint parameters of `/v1`."""

from typing import Annotated

from fastapi import Header, Path

from darkroom_contract.names import MAX_JOB_NAME_LENGTH
from darkroom_gateway.jobs.task_ids import TASK_ID_PATTERN
from darkroom_gateway.v1.waiting import MAX_WAIT_SECONDS

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
Prefer = Annotated[
    str | None,
    Header(
        alias="Prefer",
        max_length=1000,
        description=f"`wait=N` waits up to N seconds, at most {MAX_WAIT_SECONDS}, for the end of the job (RFC 7240). "
        "Other preferences are ignored.",
    ),
]
