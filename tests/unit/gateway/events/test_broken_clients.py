"""Clients that break off their streams leave nothing behind: their places are free again."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.event_streams import StreamedJob
from support.running_gateway import Gateway
from support.waiting import waiter

wait_until = waiter(30)


@pytest.fixture(scope="module")
def narrow(start_gateway: Any, environment: dict[str, str]) -> Iterator[Gateway]:
    """A gateway with a single place."""
    with start_gateway({**environment, "DARKROOM_GATEWAY_MAX_EVENT_STREAMS": "1"}) as gateway:
        yield gateway


@pytest.mark.parametrize("path", ["/v1/events", "/v1/jobs/{id}/events", "/v1/jobs/{id}/logs?follow=true"])
def test_client_that_breaks_off_frees_its_place(narrow: Gateway, streamed_job: StreamedJob, path: str) -> None:
    address = path.replace("{id}", streamed_job.name)
    wait_until(lambda: _status(narrow.http, address) == 200, "the place of the test before is free")
    wait_until(lambda: _is_full_while_open(narrow.http, address), "the only place is taken by an open stream")
    wait_until(lambda: _status(narrow.http, address) == 200, "the place is free again")

    assert narrow.http.get("/healthz").status_code == 200


def _is_full_while_open(http: httpx.Client, path: str) -> bool:
    with http.stream("GET", path) as response:
        if response.status_code != 200:
            return False
        refused = http.get(path)
        assert (refused.status_code, refused.json()["type"]) == (503, "tag:darkroom.dev,2026:TooManyStreams")
        return True


def _status(http: httpx.Client, path: str) -> int:
    with http.stream("GET", path) as response:
        return response.status_code
