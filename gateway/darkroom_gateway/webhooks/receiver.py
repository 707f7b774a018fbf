"""One attempt to deliver a webhook. Called by sender.py.

The address is chosen by a user: see outgoing/sessions.py. Redirects are not followed, and of the answer only its status
is read.
"""

import time
from dataclasses import dataclass

import aiohttp

from darkroom_gateway.jobs.webhook_policy import WebhookPolicy
from darkroom_gateway.outgoing.name_lookups import NameLookups
from darkroom_gateway.outgoing.sessions import PrivateAddressError, failure_words, new_session
from darkroom_gateway.webhooks.messages import Message
from darkroom_gateway.webhooks.signing import SigningSecrets, headers_of

GONE = 410
"""The receiver wants no more of it."""
MAX_RETRY_AFTER_SECONDS = 600


@dataclass(frozen=True)
class Outcome:
    """What became of an attempt."""

    is_delivered: bool
    is_final: bool = False
    """No further attempt makes sense."""
    detail: str = ""
    """Why it failed. Contains no address, which may be a secret."""
    retry_after_seconds: int = 0
    """How long the receiver asks to wait."""


class WebhookReceivers:
    """The receivers of all webhooks. `close` it in the event loop that uses it."""

    def __init__(self, policy: WebhookPolicy, secrets: SigningSecrets, seconds: float) -> None:
        """`seconds` limits each attempt."""
        self._policy = policy
        self._secrets = secrets
        self._seconds = seconds
        self._lookups = NameLookups()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        self._lookups.close()

    async def deliver(self, address: str, message: Message) -> Outcome:
        """Send a message once. Raises nothing but cancellation."""
        if (fault := self._policy.address_fault(address)) is not None:
            return Outcome(is_delivered=False, detail=fault)
        headers = headers_of(self._secrets.keys(), message.id, int(time.time()), message.body)
        try:
            async with self._open().post(
                address, data=message.body, headers=headers, allow_redirects=False
            ) as response:
                return outcome_of(response.status, response.headers.get("Retry-After", ""))
        except PrivateAddressError:
            return Outcome(is_delivered=False, detail="Its name leads to an address that is not public.")
        except TimeoutError:
            return Outcome(is_delivered=False, detail=f"It did not answer within {self._seconds:g} s.")
        except (aiohttp.ClientError, ValueError, OSError) as error:
            return Outcome(is_delivered=False, detail=f"It can't be reached: {failure_words(error)}.")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = new_session(
                self._lookups,
                public_only=self._policy.public_only,
                seconds=self._seconds,
                headers={"Content-Type": "application/json"},
                connections=0,  # sender.py limits them.
            )
        return self._session


def outcome_of(status: int, retry_after: str = "") -> Outcome:
    """Only 2xx counts as delivered. A redirect is an error of the receiver, which may be corrected."""
    if 200 <= status < 300:
        return Outcome(is_delivered=True)
    wait = min(int(retry_after), MAX_RETRY_AFTER_SECONDS) if retry_after.isdecimal() else 0
    return Outcome(
        is_delivered=False, is_final=status == GONE, detail=f"It answered {status}.", retry_after_seconds=wait
    )
