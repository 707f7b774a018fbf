"""Parameters that several endpoints share."""

from typing import Annotated

from fastapi import Header, Path, Query

from darkroom_contract.names import MAX_JOB_NAME_LENGTH, Kind
from darkroom_gateway.http.case_insensitive import case_insensitive
from darkroom_gateway.jobs.task_ids import IDEMPOTENCY_KEY_PATTERN, TASK_ID_PATTERN

TaskIdInQuery = Annotated[
    str,
    Query(
        pattern=TASK_ID_PATTERN,
        max_length=MAX_JOB_NAME_LENGTH,
        description="What the submission answered.",
        examples=["train-k3x9q2m7ab"],
    ),
]
TaskIdInPath = Annotated[
    str,
    Path(
        pattern=TASK_ID_PATTERN,
        max_length=MAX_JOB_NAME_LENGTH,
        description="What the submission answered, or the name of a job from YAML.",
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
        description="A value of your own. A request that is sent again with it answers the first one's task.",
    ),
]
