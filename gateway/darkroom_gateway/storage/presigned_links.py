"""Signed links: how an object is downloaded without credentials, until a stated time. Used by storage/client.py.

A link stops working when its own time is over, and when the credentials that signed it expire: those of IRSA, EKS Pod
Identity, instance roles and `credential_process` last minutes to hours. `expires` is the sooner of the two. Of a bare
AWS_SESSION_TOKEN nobody knows when it ends.
"""

import asyncio
import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from anyio import CapacityLimiter, to_thread
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError

from darkroom_gateway.errors import StorageUnavailableError

log = logging.getLogger(__name__)

RENEWAL = timedelta(minutes=15)
"""botocore renews credentials that have less time left (its advisory refresh)."""
RENEWAL_CHECK_SECONDS = 5.0

NO_CREDENTIALS = "Object storage can't sign a link: the gateway has no credentials yet. Try again shortly."
NO_TIME_LEFT = "Object storage can't sign a link: the gateway's temporary credentials have expired. Try again shortly."


@dataclass(frozen=True)
class Link:
    """A signed address that works until `expires`. Made on demand, never stored."""

    url: str
    expires: datetime


@dataclass(frozen=True)
class _Signing:
    """A client whose credentials are frozen, and when those end; None for ones that never do."""

    client: Any
    credentials: ReadOnlyCredentials
    end: datetime | None


class LinkSigner:
    """Signs links for the address under which people reach the storage. Safe to use from several threads.

    `sign` only computes. What may ask the network (a metadata service, STS, a `credential_process`) is `renew`, which
    `keep_renewed` calls in a thread of its own: so a request never waits for credentials, and never renews any.
    """

    def __init__(self, session: Any, endpoint_url: str | None, region: str, config: Config, link_seconds: int) -> None:
        """`session`, a `boto3.Session`, must be used by nobody else: its credentials are renewed here alone."""
        self._session = session
        self._region = region
        self._endpoint_url = endpoint_url
        self._config = config
        self._link_seconds = link_seconds
        self._renewing = threading.Lock()
        self._begun = False
        self._signing: _Signing | None = None

    def close(self) -> None:
        signing = self._signing
        if signing is not None:
            signing.client.close()

    def sign(self, parameters: dict[str, str]) -> Link:
        """A link for GetObject with these parameters.

        Raises `StorageUnavailableError` while there are no credentials, or none with time left. Only where `renew` was
        never called does it call it, and raises its errors.
        """
        if not self._begun:
            self.renew()
        signing = self._signing
        if signing is None:
            raise StorageUnavailableError(NO_CREDENTIALS)
        now = datetime.now(UTC).replace(microsecond=0)
        expires = now + timedelta(seconds=self._link_seconds)
        if signing.end is not None:
            expires = min(expires, signing.end.astimezone(UTC).replace(microsecond=0))
        seconds = round((expires - now).total_seconds())
        if seconds < 1:
            raise StorageUnavailableError(NO_TIME_LEFT)
        return Link(signing.client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=seconds), expires)

    def needs_renewal(self) -> bool:
        """Whether there are no credentials yet, or they end within `RENEWAL`. Asks nobody."""
        signing = self._signing
        return signing is None or (signing.end is not None and signing.end - datetime.now(UTC) < RENEWAL)

    def renew(self) -> None:
        """Take the session's credentials as they are now; botocore renews those that end within 15 minutes.

        Blocks for as long as their source does. Raises `StorageUnavailableError`, and boto3's own errors when there are
        no credentials or they can't be renewed. The ones from before stay in use then.
        """
        self._begun = True
        with self._renewing:
            credentials = self._session.get_credentials()
            if credentials is None:
                raise NoCredentialsError
            try:
                frozen = credentials.get_frozen_credentials()
            except (RuntimeError, OSError) as error:
                # botocore's for renewed credentials that have expired already, and for a token file that can't be read.
                raise StorageUnavailableError(NO_TIME_LEFT) from error
            before = self._signing
            client = before.client if before is not None and before.credentials == frozen else self._made(frozen)
            # No public name for it in botocore; credentials that never end have no such attribute.
            self._signing = _Signing(client, frozen, getattr(credentials, "_expiry_time", None))

    async def keep_renewed(self, *, first_done: asyncio.Event) -> None:
        """Renews for as long as it runs. `first_done` is set after the first try. Logs a fault once, not each time."""
        self._begun = True  # From here on `sign` leaves it to this one.
        limiter, failing = CapacityLimiter(1), False
        while True:
            if self.needs_renewal():
                try:
                    await to_thread.run_sync(self.renew, limiter=limiter)
                    failing = False
                except Exception as error:  # noqa: BLE001 Sources are many, and so are their errors; none may end the renewal.
                    if not failing:
                        log.error("no credentials to sign links with: %s", error)
                    failing = True
            first_done.set()
            await asyncio.sleep(RENEWAL_CHECK_SECONDS)

    def _made(self, frozen: ReadOnlyCredentials) -> Any:
        return self._session.client(
            "s3",
            endpoint_url=self._endpoint_url,
            region_name=self._region,
            config=self._config,
            aws_access_key_id=frozen.access_key,
            aws_secret_access_key=frozen.secret_key,
            aws_session_token=frozen.token,
        )
