"""Signs webhooks by the Standard Webhooks convention, and reads the secrets. Used by receiver.py.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import Sequence
from pathlib import Path

from darkroom_gateway.errors import SettingsError

log = logging.getLogger(__name__)

PREFIX = "whsec_"
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
MAX_SECRETS = 5
"""Each adds a signature to a header."""
_NEW_SECRET = "echo whsec_$(openssl rand -base64 32)"  # noqa: S105 (a command that makes one)


class SigningSecrets:
    """The secrets of a file, separated by white space. Messages are signed with each, so that a receiver can move from
    one to the next at any time."""

    def __init__(self, path: Path) -> None:
        """Raises `SettingsError` for a file without usable secrets."""
        self._path = path
        self._text: str | None = None
        self._keys: tuple[bytes, ...] = ()
        self._update()

    def keys(self) -> Sequence[bytes]:
        """The current ones. The file is read again, since a mounted Secret changes; a broken one is ignored."""
        try:
            self._update()
        except SettingsError as error:
            log.warning("the webhook secrets of before are still used: %s", error)
        return self._keys

    def _update(self) -> None:
        try:
            text = self._path.read_text(encoding="ascii")
        except (OSError, UnicodeError) as error:
            raise SettingsError(f"The webhook secrets in {self._path} can't be read: {_words(error)}.") from None
        if text != self._text:
            self._keys = _parse(text, self._path)
            self._text = text


def headers_of(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a message, sent at `timestamp` (Unix time)."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(each).decode()}" for each in digests),
    }


def _parse(text: str, path: Path) -> tuple[bytes, ...]:
    words = text.split()
    if not 1 <= len(words) <= MAX_SECRETS:
        raise SettingsError(f"{path} has {len(words)} webhook secrets: write 1 to {MAX_SECRETS}. `{_NEW_SECRET}`")
    return tuple(_key(word, number, path) for number, word in enumerate(words, 1))


def _key(word: str, number: int, path: Path) -> bytes:
    """The message of an error does not contain the secret."""
    try:
        key = base64.b64decode(word.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not word.startswith(PREFIX) or not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise SettingsError(
            f"Webhook secret {number} in {path} is not {PREFIX} and the base64 form of {MIN_SECRET_BYTES} to "
            f"{MAX_SECRET_BYTES} bytes. `{_NEW_SECRET}` makes one."
        )
    return key


def _words(error: OSError | UnicodeError) -> str:
    return (error.strerror or "unknown error") if isinstance(error, OSError) else "it is not ASCII text"
