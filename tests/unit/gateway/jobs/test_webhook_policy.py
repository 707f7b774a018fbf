"""Which webhooks a gateway accepts, by its settings."""

import pytest

from darkroom_contract.specs.job import JobSpec
from darkroom_gateway.errors import InvalidRequestError
from darkroom_gateway.jobs.webhook_policy import WebhookPolicy
from darkroom_gateway.settings import WebhookAddresses

PUBLIC, ANY, DISABLED = (WebhookPolicy(each, can_sign=True) for each in WebhookAddresses)
UNSIGNED = WebhookPolicy(WebhookAddresses.ANY, can_sign=False)


@pytest.mark.parametrize(
    ("policy", "address", "words"),
    [
        (PUBLIC, "http://example.com/", "https"),
        (PUBLIC, "https://10.0.0.1/", "not a public address"),
        (PUBLIC, "https://[::1]:8443/", "not a public address"),
        (PUBLIC, "https://169.254.169.254/latest", "not a public address"),
        (ANY, "https://xn--/", "begins with https://"),
        (DISABLED, "https://example.com/", "sends no webhooks"),
        (UNSIGNED, "https://example.com/", "DARKROOM_GATEWAY_WEBHOOK_SECRETS"),
    ],
)
def test_address_that_would_get_nothing_is_refused(policy: WebhookPolicy, address: str, words: str) -> None:
    with pytest.raises(InvalidRequestError, match="webhook: ") as raised:
        policy.require(JobSpec(webhook=address))
    [error] = raised.value.field_errors
    assert words in error.message
    assert error.given == address


@pytest.mark.parametrize(
    ("policy", "address"),
    [
        (PUBLIC, "https://example.com:8443/a?b=c"),
        (PUBLIC, "https://93.184.216.34/"),
        (ANY, "http://127.0.0.1:8000/"),
        (ANY, "http://receiver.default.svc/"),
        (DISABLED, None),
        (UNSIGNED, None),
    ],
)
def test_other_addresses_and_jobs_without_one_are_accepted(policy: WebhookPolicy, address: str | None) -> None:
    policy.require(JobSpec(webhook=address))


def test_policy_is_on_only_with_secrets_and_addresses() -> None:
    assert [each.is_on for each in (PUBLIC, ANY, DISABLED, UNSIGNED)] == [True, True, False, False]
