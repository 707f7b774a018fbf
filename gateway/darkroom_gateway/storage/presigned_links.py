"""Presigned links, with which clients download objects without credentials. Used by storage/client.py.

A link expires after its own lifetime, or when the credentials that signed it expire: those of IRSA, EKS Pod Identity,
instance roles and `credential_process` last minutes to hours. `expires` is the earlier of the two. The expiry of a
plain AWS_SESSION_TOKEN is unknown.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import boto3
from anyio import CapacityLimiter, to_thread
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError

from darkroom_contract.storage.s3_client import open_client
from darkroom_gateway.errors import StorageUnavailableError

log = logging.getLogger(__name__)

RENEWAL = timedelta(minutes=15)
"""botocore renews credentials with less time left (advisory refresh)."""
RENEWAL_CHECK_SECONDS = 5.0

NO_CREDENTIALS = "Object storage can't sign a link: the gateway has no credentials yet. Try again shortly."
NO_TIME_LEFT = "Object storage can't sign a link: the gateway's temporary credentials have expired. Try again shortly."


@dataclass(frozen=True)
class Link:
    """A presigned URL that works until `expires`. Created on demand, never stored."""

    url: str
    expires: datetime


@dataclass(frozen=True)
class _Signing:
    """A client with frozen credentials, and their expiry; None if they don't expire."""

    client: Any
    credentials: ReadOnlyCredentials
    end: datetime | None


class LinkSigner:
    """Presigns links for the public endpoint of the storage. Thread-safe.

    `sign` does no I/O. `renew` may (a metadata service, STS, a `credential_process`); `keep_renewed` calls it in a
    separate thread, so that requests never wait for credentials.
    """

    def __init__(self, session: Any, endpoint_url: str | None, region: str, config: Config, link_seconds: int) -> None:
        """`session`, a `boto3.Session`, must not be shared: its credentials are renewed only here."""
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

    def sign(self, parameters: Mapping[str, object], operation: str = "get_object") -> Link:
        """A link for an operation of S3 with these parameters.

        Raises `StorageUnavailableError` while there are no valid credentials. If `renew` was never called, calls it,
        and raises its errors."""
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
        return Link(signing.client.generate_presigned_url(operation, Params=parameters, ExpiresIn=seconds), expires)

    def origin(self, bucket: str) -> str:
        """Scheme, host and port of the links to objects of a bucket. Needs no credentials; makes a client each time."""
        client = open_client(
            self._endpoint_url, self._region, self._config.merge(Config(signature_version=UNSIGNED)), boto3.Session()
        )
        with contextlib.closing(client):
            link = urlsplit(client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "x"}))
        return f"{link.scheme}://{link.netloc}"

    def needs_renewal(self) -> bool:
        """Whether there are no credentials yet, or they expire within `RENEWAL`. Does no I/O."""
        signing = self._signing
        return signing is None or (signing.end is not None and signing.end - datetime.now(UTC) < RENEWAL)

    def renew(self) -> None:
        """Update the credentials from the session; botocore renews those that expire within 15 minutes.

        Blocks as long as their source does. Raises `StorageUnavailableError`, or errors of boto3, when there are no
        credentials or they can't be renewed. Then the previous ones stay in use.
        """
        self._begun = True
        with self._renewing:
            credentials = self._session.get_credentials()
            if credentials is None:
                raise NoCredentialsError
            try:
                frozen = credentials.get_frozen_credentials()
            except (RuntimeError, OSError) as error:
                # botocore raises these for renewed credentials that have expired, and for an unreadable token file.
                raise StorageUnavailableError(NO_TIME_LEFT) from error
            before = self._signing
            client = before.client if before is not None and before.credentials == frozen else self._client_with(frozen)
            # botocore has no public name for it. Credentials without expiry don't have the attribute.
            self._signing = _Signing(client, frozen, getattr(credentials, "_expiry_time", None))

    async def keep_renewed(self, *, first_done: asyncio.Event) -> None:
        """Renew until cancelled. Sets `first_done` after the first try. Logs consecutive failures once."""
        self._begun = True  # From now on `sign` does not renew.
        limiter, failing = CapacityLimiter(1), False
        while True:
            if self.needs_renewal():
                try:
                    await to_thread.run_sync(self.renew, limiter=limiter)
                    failing = False
                except Exception as error:  # noqa: BLE001 Sources raise many errors, and none may stop the renewal.
                    if not failing:
                        log.error("no credentials to sign links with: %s", error)
                    failing = True
            first_done.set()
            await asyncio.sleep(RENEWAL_CHECK_SECONDS)

    def _client_with(self, frozen: ReadOnlyCredentials) -> Any:
        return open_client(
            self._endpoint_url,
            self._region,
            self._config,
            self._session,
            aws_access_key_id=frozen.access_key,
            aws_secret_access_key=frozen.secret_key,
            aws_session_token=frozen.token,
        )
