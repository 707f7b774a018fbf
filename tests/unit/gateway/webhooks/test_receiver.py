"""One attempt at a delivery: real receivers, answers of all kinds, and addresses that are not public."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from support.webhook_receiver import SECRET, Received, receiving

from darkroom_gateway.jobs.webhook_policy import WebhookPolicy
from darkroom_gateway.outgoing import sessions
from darkroom_gateway.settings import WebhookAddresses
from darkroom_gateway.webhooks.messages import Message
from darkroom_gateway.webhooks.receiver import MAX_RETRY_AFTER_SECONDS, Outcome, WebhookReceivers, outcome_of
from darkroom_gateway.webhooks.signing import SigningSecrets

MESSAGE = Message("msg_1", b'{"type": "job.succeeded"}')


@pytest.fixture
def signing_secrets(tmp_path: Path) -> SigningSecrets:
    path = tmp_path / "secrets"
    path.write_text(SECRET)
    return SigningSecrets(path)


@asynccontextmanager
async def receivers(
    signing_secrets: SigningSecrets, addresses: WebhookAddresses = WebhookAddresses.ANY, seconds: float = 10
) -> AsyncIterator[WebhookReceivers]:
    found = WebhookReceivers(WebhookPolicy(addresses, can_sign=True), signing_secrets, seconds)
    try:
        yield found
    finally:
        await found.close()


async def test_receiver_gets_a_signed_message_without_credentials(signing_secrets: SigningSecrets) -> None:
    with receiving() as receiver:
        async with receivers(signing_secrets) as found:
            assert await found.deliver(receiver.url, MESSAGE) == Outcome(is_delivered=True)

    [request] = receiver.received
    assert Webhook(SECRET).verify(request.body, dict(request.headers)) == {"type": "job.succeeded"}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("darkroom/")
    assert not {"authorization", "cookie"} & request.headers.keys()


@pytest.mark.parametrize(
    ("status", "retry_after", "outcome"),
    [
        (200, "", Outcome(is_delivered=True)),
        (299, "", Outcome(is_delivered=True)),
        (302, "", Outcome(is_delivered=False, detail="It answered 302.")),
        (404, "soon", Outcome(is_delivered=False, detail="It answered 404.")),
        (410, "", Outcome(is_delivered=False, is_final=True, detail="It answered 410.")),
        (503, "60", Outcome(is_delivered=False, detail="It answered 503.", retry_after_seconds=60)),
        (429, "9" * 30, Outcome(False, detail="It answered 429.", retry_after_seconds=MAX_RETRY_AFTER_SECONDS)),
    ],
)
def test_only_2xx_is_a_delivery_and_only_410_is_final(status: int, retry_after: str, outcome: Outcome) -> None:
    assert outcome_of(status, retry_after) == outcome


async def test_redirect_is_not_followed(signing_secrets: SigningSecrets) -> None:
    with receiving() as other, receiving(lambda _: 307, Location=other.url) as receiver:
        async with receivers(signing_secrets) as found:
            outcome = await found.deliver(receiver.url, MESSAGE)

    assert outcome == Outcome(is_delivered=False, detail="It answered 307.")
    assert (len(receiver.received), other.received) == (1, [])


async def test_slow_receiver_is_left_after_the_time_limit(signing_secrets: SigningSecrets) -> None:
    done = threading.Event()

    def wait(_: Received) -> int:
        done.wait(30)
        return 204

    with receiving(wait) as receiver:
        async with receivers(signing_secrets, seconds=0.5) as found:
            outcome = await found.deliver(receiver.url, MESSAGE)
        done.set()

    assert outcome == Outcome(is_delivered=False, detail="It did not answer within 0.5 s.")


async def test_failure_does_not_show_the_address(signing_secrets: SigningSecrets) -> None:
    with receiving() as receiver:
        url = receiver.url
    async with receivers(signing_secrets) as found:
        outcomes = [await found.deliver(each, MESSAGE) for each in (url, "http://no-such-host.invalid/secret")]

    assert [each.detail for each in outcomes] == [
        "It can't be reached: no connection.",
        "It can't be reached: the name is unknown.",
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254"])
async def test_private_address_is_not_contacted(signing_secrets: SigningSecrets, host: str) -> None:
    with receiving() as receiver:
        port = receiver.url.split(":")[2].partition("/")[0]
        async with receivers(signing_secrets, WebhookAddresses.PUBLIC) as found:
            outcome = await found.deliver(f"https://{host}:{port}/", MESSAGE)

    assert "not a public address" in outcome.detail
    assert receiver.received == []


async def test_name_of_a_private_address_is_not_contacted(signing_secrets: SigningSecrets) -> None:
    with receiving() as receiver:
        port = receiver.url.split(":")[2].partition("/")[0]
        async with receivers(signing_secrets, WebhookAddresses.PUBLIC) as found:
            outcome = await found.deliver(f"https://localhost:{port}/", MESSAGE)

    assert outcome.detail == "Its name leads to an address that is not public."
    assert receiver.received == []


async def test_plain_http_is_refused_unless_allowed(
    signing_secrets: SigningSecrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "is_public", lambda _: True)
    with receiving() as receiver:
        async with receivers(signing_secrets, WebhookAddresses.PUBLIC) as found:
            assert "https" in (await found.deliver(receiver.url, MESSAGE)).detail

    assert receiver.received == []
