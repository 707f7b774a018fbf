"""Signatures that the `standardwebhooks` package verifies, and the file of secrets."""

import base64
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from support.webhook_receiver import SECRET

from darkroom_gateway.errors import SettingsError
from darkroom_gateway.webhooks.signing import MAX_SECRETS, SigningSecrets, headers_of

BODY = '{"type": "job.succeeded", "data": {"prompt": "ein Hündchen"}}'.encode()


def new_secret(count: int = 32) -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(count)).decode()


def secrets_of(tmp_path: Path, text: str) -> SigningSecrets:
    path = tmp_path / "secrets"
    path.write_text(text)
    return SigningSecrets(path)


def signed(found: SigningSecrets, body: bytes = BODY) -> dict[str, str]:
    return headers_of(found.keys(), "msg_1", int(time.time()), body)


def test_message_is_verified_by_the_reference_package(tmp_path: Path) -> None:
    headers = signed(secrets_of(tmp_path, SECRET))

    assert Webhook(SECRET).verify(BODY, headers)["type"] == "job.succeeded"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_signature_is_that_of_the_reference_package(tmp_path: Path) -> None:
    now = int(time.time())
    expected = Webhook(SECRET).sign("msg_1", datetime.fromtimestamp(now, UTC), BODY.decode())

    assert headers_of(secrets_of(tmp_path, SECRET).keys(), "msg_1", now, BODY)["webhook-signature"] == expected


def test_each_of_several_secrets_verifies(tmp_path: Path) -> None:
    old, new = new_secret(24), new_secret(64)
    headers = signed(secrets_of(tmp_path, f"{new}\n{old}\n"))

    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)


def test_changed_file_is_used_and_a_broken_one_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old, new = new_secret(), new_secret()
    found = secrets_of(tmp_path, old)
    (tmp_path / "secrets").write_text(new)
    Webhook(new).verify(BODY, signed(found))

    (tmp_path / "secrets").write_text("whsec_broken")
    Webhook(new).verify(BODY, signed(found))
    assert "still used" in caplog.text
    assert new not in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        *("", "   \n", "secret", new_secret(23), new_secret(65), new_secret().removeprefix("whsec_"), "whsec_ä"),
        " ".join(new_secret() for _ in range(MAX_SECRETS + 1)),
    ],
    ids=["empty", "blank", "no prefix", "short", "long", "prefix removed", "not base64", "too many"],
)
def test_unusable_secrets_end_the_start_without_being_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        secrets_of(tmp_path, text)

    assert "secrets" in str(raised.value)
    assert not text.split() or text.split()[0] not in str(raised.value) or text == "secret"


def test_missing_file_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        SigningSecrets(tmp_path / "missing")
