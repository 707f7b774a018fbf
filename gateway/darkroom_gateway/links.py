"""Signed links: how an object is downloaded without credentials, until a stated time. Used by storage.py.

A link stops working when its own time is over, and when the credentials that signed it expire: those of IRSA, EKS Pod
Identity, instance roles and `credential_process` last minutes to hours. `expires` is the sooner of the two. Of a bare
AWS_SESSION_TOKEN nobody knows when it ends.
"""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError

from darkroom_gateway.errors import StorageUnavailableError

NO_TIME_LEFT = "Object storage can't sign a link: the gateway's temporary credentials have expired. Try again shortly."


@dataclass(frozen=True)
class Link:
    """A signed address that works until `expires`. Made on demand, never stored."""

    url: str
    expires: datetime


class LinkSigner:
    """Signs links for the address under which people reach the storage. Safe to use from several threads."""

    def __init__(self, session: Any, endpoint_url: str | None, region: str, config: Config, link_seconds: int) -> None:
        """`session`, a `boto3.Session`, must be used by nobody else: its credentials are renewed here alone, under the
        lock, so that a signature and the expiry beside it are always of the same credentials."""
        self._session = session
        self._region = region
        self._endpoint_url = endpoint_url
        self._config = config
        self._link_seconds = link_seconds
        self._lock = threading.Lock()
        self._frozen: ReadOnlyCredentials | None = None
        self._client: Any = None

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()

    def sign(self, parameters: dict[str, str]) -> Link:
        """A link for GetObject with these parameters.

        Asks nobody, unless temporary credentials are near their end: botocore renews them 15 minutes before. Raises
        `StorageUnavailableError`, and boto3's own errors when there are no credentials or they can't be renewed.
        """
        with self._lock:
            client, credentials_end = self._renewed()
            now = datetime.now(UTC).replace(microsecond=0)
            expires = now + timedelta(seconds=self._link_seconds)
            if credentials_end is not None:
                expires = min(expires, credentials_end.astimezone(UTC).replace(microsecond=0))
            seconds = round((expires - now).total_seconds())
            if seconds < 1:
                raise StorageUnavailableError(NO_TIME_LEFT)
            return Link(client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=seconds), expires)

    def _renewed(self) -> tuple[Any, datetime | None]:
        """A client that signs with credentials as they are now, frozen, and when those end."""
        credentials = self._session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        try:
            frozen = credentials.get_frozen_credentials()
        except (RuntimeError, OSError) as error:
            # botocore's for renewed credentials that have expired already, and for a token file that can't be read.
            raise StorageUnavailableError(NO_TIME_LEFT) from error
        if frozen != self._frozen:
            self._client, self._frozen = self._made(frozen), frozen
        # No public name for it in botocore; credentials that never end have no such attribute.
        return self._client, getattr(credentials, "_expiry_time", None)

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
