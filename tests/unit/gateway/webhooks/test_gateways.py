"""Webhooks of running gateways: which submissions are accepted, and what a killed gateway leaves to the next one."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.isolated_namespace import ENDED, IsolatedNamespace
from support.running_gateway import Gateway
from support.waiting import waiter
from support.webhook_receiver import SECRET, Received, receiving

from darkroom_contract.names import Kind

URL = "https://example.com/hook"
JOB = {"prompt": "a dog"}

wait_until = waiter(60)


@pytest.fixture(scope="module")
def signing(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """The environment of a gateway that sends webhooks."""
    path = folder / "webhook-secrets"
    path.write_text(SECRET)
    return {
        **environment,
        "DARKROOM_GATEWAY_WEBHOOK_SECRETS": str(path),
        "DARKROOM_GATEWAY_WEBHOOK_ADDRESSES": "Any",
        "DARKROOM_GATEWAY_WEBHOOK_LEASE_SECONDS": "5",
    }


@pytest.fixture(scope="module")
def sending(start_gateway: Any, signing: dict[str, str]) -> Iterator[Gateway]:
    with start_gateway(signing) as gateway:
        yield gateway


def refusal(response: httpx.Response) -> dict[str, str]:
    assert response.status_code == 422, response.text
    [error] = response.json()["errors"]
    assert error["parameter"] == "webhook"
    found: dict[str, str] = error
    return found


def test_gateway_without_secrets_refuses_webhooks(http: httpx.Client) -> None:
    with_query = http.post("/generate/sdxl", params={**JOB, "webhook": URL})
    assert "DARKROOM_GATEWAY_WEBHOOK_SECRETS" in refusal(with_query)["message"]
    with_body = http.post("/v1/generate-jobs", json={**JOB, "webhook": URL})
    assert "DARKROOM_GATEWAY_WEBHOOK_SECRETS" in refusal(with_body)["message"]


def test_events_without_an_address_are_refused(sending: Gateway) -> None:
    with_query = sending.http.post("/generate/sdxl", params={**JOB, "webhook_events": "Started"})
    assert "leave the events out" in refusal(with_query)["message"]
    with_body = sending.http.post("/v1/generate-jobs", json={**JOB, "webhookEvents": ["Started"]})
    assert "leave the events out" in refusal(with_body)["message"]


@pytest.mark.parametrize("address", ["https://user:password@example.com/", "ftp://example.com/", "https://xn--/"])
def test_invalid_address_is_refused(sending: Gateway, address: str) -> None:
    assert "http" in refusal(sending.http.post("/generate/sdxl", params={**JOB, "webhook": address}))["message"]


def test_query_and_body_set_the_same_fields(sending: Gateway, cluster: Any) -> None:
    query = {**JOB, "webhook": URL, "webhook_events": ["started", "DELETED"]}
    with_query = sending.http.post("/generate/sdxl", params=query)
    assert with_query.status_code == 202, with_query.text
    body = {**JOB, "webhook": URL, "webhookEvents": ["Started", "Deleted"]}
    with_body = sending.http.post("/v1/generate-jobs", json=body)
    assert with_body.status_code == 202, with_body.text

    specs = [
        cluster.get(Kind.GENERATE, name)["spec"] for name in (with_query.json()["task_id"], with_body.json()["id"])
    ]
    for spec in specs:
        assert (spec["webhook"], spec["webhookEvents"]) == (URL, ["Started", "Deleted"])


def test_killed_gateway_between_receipt_and_record_has_its_message_sent_again(
    start_gateway: Any, signing: dict[str, str], isolated: IsolatedNamespace
) -> None:
    """Twice, with the same id, and then no more."""
    environment = {**signing, "DARKROOM_NAMESPACE": isolated.namespace}
    received, killed = threading.Event(), threading.Event()

    def answer(_: Received) -> int:
        received.set()
        killed.wait(60)
        return 204

    with receiving(answer) as receiver:
        with start_gateway(environment) as first:
            isolated.api.create(Kind.GENERATE, "job", {**JOB, "webhook": receiver.url})
            isolated.api.set_status(Kind.GENERATE, "job", phase="Succeeded", completionTime=ENDED)
            assert received.wait(60)
            first.process.kill()
            killed.set()
        with start_gateway(environment):
            wait_until(lambda: "Delivered" in str(isolated.api.get(Kind.GENERATE, "job")["metadata"]), "it is recorded")

    assert len(receiver.received) == 2
    assert len({each.id for each in receiver.received}) == 1
