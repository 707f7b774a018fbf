"""Endpoint parameters of `/v1`."""

from typing import Annotated

from fastapi import Header
from pydantic import BaseModel, ConfigDict, Field

from darkroom_contract.names import KEY_NAME_PATTERN, MODEL_ID_PATTERN, Kind
from darkroom_contract.status import Phase
from darkroom_gateway.http.case_insensitive import case_insensitive
from darkroom_gateway.jobs.cursors import CURSOR_PATTERN
from darkroom_gateway.jobs.index import JobFilter
from darkroom_gateway.jobs.prompt_index import WORD_PATTERN, words_of
from darkroom_gateway.jobs.service import kinds_of
from darkroom_gateway.v1.waiting import MAX_WAIT_SECONDS

Prefer = Annotated[
    str | None,
    Header(
        alias="Prefer",
        max_length=1000,
        description=f"`wait=N` waits up to N seconds, at most {MAX_WAIT_SECONDS}, for the end of the job (RFC 7240). "
        "Other preferences are ignored.",
    ),
]


class ListParameters(BaseModel):
    """Query parameters of `GET /v1/jobs`."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[Kind | None, case_insensitive(Kind)] = Field(
        None, description="Only TrainJobs or only GenerateJobs."
    )
    status: list[Annotated[Phase, case_insensitive(Phase)]] = Field(
        [], max_length=len(Phase), description="Only jobs of this status. Repeat it for several."
    )
    model_id: str | None = Field(
        None,
        pattern=MODEL_ID_PATTERN,
        max_length=63,
        description="Only jobs that train, use or continue this model.",
        examples=["my-dog"],
    )
    submitted_by: str | None = Field(
        None, pattern=KEY_NAME_PATTERN, description="Only jobs submitted with the API key of this name."
    )
    q: str | None = Field(
        None,
        pattern=WORD_PATTERN,
        max_length=200,
        description="Only jobs whose prompt has all of these words, or words that begin with them, in any case. A page "
        "may then have fewer jobs than `limit` although there is a next one, and nothing is counted.",
        examples=["dog beach"],
    )
    limit: int = Field(100, ge=1, le=1000, description="Maximum number of jobs on a page.")
    cursor: str | None = Field(None, pattern=CURSOR_PATTERN, description="next_cursor of the previous page, unchanged.")

    @property
    def filter(self) -> JobFilter:
        phases = tuple(dict.fromkeys(self.status)) or tuple(Phase)
        return JobFilter(kinds_of(self.kind), phases, self.submitted_by, self.model_id, words_of(self.q or ""))
