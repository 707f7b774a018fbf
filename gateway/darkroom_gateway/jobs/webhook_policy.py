"""Which webhooks this gateway sends. Used by submission.py for new jobs, and by webhooks/receiver.py for every attempt.

Names are not resolved at submission: what counts is where they lead at the time of an attempt.
"""

from darkroom_contract.specs.job import JobSpec
from darkroom_gateway.errors import FieldError, invalid_request
from darkroom_gateway.outgoing.sessions import PrivateAddressError, read_url, require_public
from darkroom_gateway.settings import WEBHOOK_SECRETS, WebhookAddresses

_DISABLED = "This gateway sends no webhooks. Leave it out, and follow the events of the job."
_UNSIGNED = (
    f"This gateway has no secret to sign webhooks with. Leave it out, or ask its operator to set {WEBHOOK_SECRETS}."
)
_NO_ADDRESS = "Add the address that the events are sent to, or leave the events out."


class WebhookPolicy:
    """What the settings allow."""

    def __init__(self, addresses: WebhookAddresses, *, can_sign: bool) -> None:
        self._addresses = addresses
        self._can_sign = can_sign

    @property
    def is_on(self) -> bool:
        """Whether any webhook is sent."""
        return self._can_sign and self._addresses is not WebhookAddresses.DISABLED

    @property
    def public_only(self) -> bool:
        return self._addresses is not WebhookAddresses.ANY

    def require(self, spec: JobSpec) -> None:
        """Raises `InvalidRequestError` for a webhook that would not be sent."""
        if spec.webhook is not None:
            fault = self.fault(spec.webhook)
        else:
            fault = None if spec.webhook_events is None else _NO_ADDRESS
        if fault is not None:
            raise invalid_request([FieldError("webhook", fault, spec.webhook)])

    def fault(self, address: str) -> str | None:
        """Why nothing is sent to an address, and what to do; None when it may be used."""
        if self._addresses is WebhookAddresses.DISABLED:
            return _DISABLED
        if not self._can_sign:
            return _UNSIGNED
        return self.address_fault(address)

    def address_fault(self, address: str) -> str | None:
        url = read_url(address)
        if url is None:
            return "Use an address that begins with https://, without a user name."
        if not self.public_only:
            return None
        if url.scheme != "https":
            return "Use an https address: this gateway sends nothing over plain http."
        try:
            require_public(url)
        except PrivateAddressError:
            return f"{url.host} is not a public address: this gateway does not connect to it."
        return None
