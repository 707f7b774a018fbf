"""Expiry of links: their own lifetime, or that of the temporary credentials that signed them, whichever ends first."""

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore.session
import httpx
import pytest
from botocore.config import Config
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import CredentialRetrievalError, NoCredentialsError

from darkroom_contract.names import Kind
from darkroom_gateway.errors import StorageUnavailableError
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage import client as storage_client
from darkroom_gateway.storage import presigned_links
from darkroom_gateway.storage.presigned_links import LinkSigner

PARAMETERS = {"Bucket": "darkroom", "Key": "runs/1/picture.png"}
CONFIG = Config(signature_version="s3v4", s3={"addressing_style": "path"})


class Provider:
    """Returns temporary credentials with a given lifetime, each with its own key."""

    def __init__(self, *lives: timedelta) -> None:
        self._lives = list(lives)
        self.handed_out = 0
        self.expiry = datetime.now(UTC)

    def __call__(self) -> dict[str, str]:
        self.handed_out += 1
        self.expiry = datetime.now(UTC) + self._lives.pop(0)
        name = str(self.handed_out)
        return {"access_key": name, "secret_key": "s", "token": f"t{name}", "expiry_time": self.expiry.isoformat()}


@pytest.fixture
def signer_for() -> Callable[..., LinkSigner]:
    def make(credentials: Credentials, link_seconds: int = 3600) -> LinkSigner:
        session = botocore.session.Session()
        session._credentials = credentials
        own = boto3.Session(botocore_session=session)
        return LinkSigner(own, "https://s3.example.com", "us-east-1", CONFIG, link_seconds)

    return make


def temporary(provider: Provider) -> RefreshableCredentials:
    return RefreshableCredentials.create_from_metadata(provider(), refresh_using=provider, method="test")


def own_end(url: str) -> datetime:
    """The expiry in the link itself."""
    query = parse_qs(urlsplit(url).query)
    signed = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return signed + timedelta(seconds=int(query["X-Amz-Expires"][0]))


def signed_by(url: str) -> tuple[str, str]:
    query = parse_qs(urlsplit(url).query)
    return query["X-Amz-Credential"][0].split("/")[0], query["X-Amz-Security-Token"][0]


def test_link_of_permanent_credentials_has_its_own_lifetime(signer_for: Callable[..., LinkSigner]) -> None:
    before = datetime.now(UTC).replace(microsecond=0)

    link = signer_for(Credentials("key", "secret")).sign(PARAMETERS)

    assert before + timedelta(seconds=3600) <= link.expires <= datetime.now(UTC) + timedelta(seconds=3600)
    assert abs(own_end(link.url) - link.expires) <= timedelta(seconds=1)


def test_link_expires_with_its_credentials(signer_for: Callable[..., LinkSigner]) -> None:
    provider = Provider(timedelta(minutes=40))

    link = signer_for(temporary(provider)).sign(PARAMETERS)

    assert link.expires == provider.expiry.replace(microsecond=0)
    assert abs(own_end(link.url) - link.expires) <= timedelta(seconds=1)
    assert signed_by(link.url) == ("1", "t1")


def test_link_that_expires_before_its_credentials_keeps_its_lifetime(signer_for: Callable[..., LinkSigner]) -> None:
    link = signer_for(temporary(Provider(timedelta(minutes=40))), link_seconds=60).sign(PARAMETERS)

    assert link.expires <= datetime.now(UTC) + timedelta(seconds=60)


def test_expiring_credentials_are_renewed_before_signing(
    signer_for: Callable[..., LinkSigner],
) -> None:
    provider = Provider(timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=9))
    signer = signer_for(temporary(provider))

    links = [signer.sign(PARAMETERS) for _ in range(3)]

    assert provider.handed_out == 2
    assert {signed_by(each.url) for each in links} == {("2", "t2")}
    assert {each.expires for each in links} == {provider.expiry.replace(microsecond=0)}


def test_expired_credentials_sign_no_link(signer_for: Callable[..., LinkSigner]) -> None:
    provider = Provider(timedelta(minutes=5), timedelta(seconds=-1))

    with pytest.raises(StorageUnavailableError, match="temporary credentials have expired"):
        signer_for(temporary(provider)).sign(PARAMETERS)


def test_renewal_errors_of_boto3_are_raised(signer_for: Callable[..., LinkSigner]) -> None:
    def refuse() -> dict[str, str]:
        raise CredentialRetrievalError(provider="test", error_msg="denied")

    first = Provider(timedelta(minutes=5))()
    credentials = RefreshableCredentials.create_from_metadata(first, refresh_using=refuse, method="test")

    with pytest.raises(CredentialRetrievalError):
        signer_for(credentials).sign(PARAMETERS)


PROCESS = """
import datetime, json
now = datetime.datetime.now(datetime.timezone.utc)
print(json.dumps({{"Version": 1, "AccessKeyId": {key!r}, "SecretAccessKey": {secret!r}, "SessionToken": "session",
    "Expiration": (now + datetime.timedelta(minutes=20)).isoformat()}}))
"""


def test_gateway_returns_the_expiry_of_its_credentials(
    start_gateway: Any, environment: dict[str, str], cluster: Any, bucket: Any, job_name: str, tmp_path: Path
) -> None:
    key, secret = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
    program, config = tmp_path / "credentials.py", tmp_path / "config"
    program.write_text(PROCESS.format(key=key, secret=secret))
    config.write_text(f"[default]\ncredential_process = {json.dumps(sys.executable)} {program}\n")
    object_key = f"runs/{job_name}/picture.png"
    bucket.put_object(Bucket="darkroom", Key=object_key, Body=b"picture", ContentType="image/png")
    artifact = {"key": object_key, "contentType": "image/png", "bytes": 7, "sha256": "0" * 64}
    cluster.create(Kind.GENERATE, job_name, {"prompt": "a dog"})
    cluster.set_status(Kind.GENERATE, job_name, phase="Succeeded", artifacts=[artifact])
    without_keys = {name: value for name, value in environment.items() if not name.startswith("AWS_")}

    with start_gateway({**without_keys, "AWS_CONFIG_FILE": str(config)}) as gateway:
        [image] = gateway.http.get("/images", params={"task_id": job_name}).json()["images"]

    left = datetime.fromisoformat(image["expires"]) - datetime.now(UTC)
    assert timedelta(minutes=15) < left < timedelta(minutes=20, seconds=1)
    assert "X-Amz-Security-Token=session" in image["url"]
    assert abs(own_end(image["url"]) - datetime.fromisoformat(image["expires"])) <= timedelta(seconds=1)
    assert httpx.get(image["url"], trust_env=False).content == b"picture"


def test_signing_never_waits_for_the_credentials_source(signer_for: Callable[..., LinkSigner]) -> None:
    """A hanging metadata service, STS or program, 14 minutes before the credentials expire."""
    go, asked = threading.Event(), threading.Event()

    def hang() -> dict[str, str]:
        asked.set()
        go.wait()
        return Provider(timedelta(hours=1))()

    first = Provider(timedelta(hours=1))()
    credentials = RefreshableCredentials.create_from_metadata(first, refresh_using=hang, method="test")
    signer = signer_for(credentials)
    signer.sign(PARAMETERS)
    credentials._expiry_time = datetime.now(UTC) + timedelta(minutes=14)
    with ThreadPoolExecutor() as threads:
        renewal = threads.submit(signer.renew)
        assert asked.wait(10)
        try:
            assert signed_by(signer.sign(PARAMETERS).url) == ("1", "t1")
            assert not renewal.done()
        finally:
            go.set()


def test_signing_without_credentials_does_no_io(signer_for: Callable[..., LinkSigner]) -> None:
    """boto3 searches at every call until it has found credentials, also at the AWS metadata service."""
    asked = 0

    class Nothing(boto3.Session):
        def get_credentials(self) -> None:
            nonlocal asked
            asked += 1

    signer = LinkSigner(Nothing(), "https://s3.example.com", "us-east-1", CONFIG, 3600)
    with pytest.raises(NoCredentialsError):
        signer.renew()
    for _ in range(3):
        with pytest.raises(StorageUnavailableError, match="no credentials yet"):
            signer.sign(PARAMETERS)

    assert asked == 1


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (what changes it is a thread)
            await asyncio.sleep(0.01)


async def test_credentials_are_renewed_in_the_background(
    signer_for: Callable[..., LinkSigner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that was idle overnight has fresh credentials in the morning."""
    monkeypatch.setattr(presigned_links, "RENEWAL_CHECK_SECONDS", 0.01)
    provider = Provider(timedelta(minutes=20), timedelta(hours=9))
    credentials = temporary(provider)
    signer, first_done = signer_for(credentials), asyncio.Event()
    keeper = asyncio.create_task(signer.keep_renewed(first_done=first_done))
    await asyncio.wait_for(first_done.wait(), 60)
    assert not signer.needs_renewal()
    assert signed_by(signer.sign(PARAMETERS).url) == ("1", "t1")

    monkeypatch.setattr(presigned_links, "RENEWAL", timedelta(minutes=30))
    credentials._expiry_time = datetime.now(UTC) + timedelta(minutes=5)
    await eventually(lambda: not signer.needs_renewal())
    keeper.cancel()

    assert signed_by(signer.sign(PARAMETERS).url) == ("2", "t2")


async def test_failing_source_does_not_stop_renewal_and_is_logged_once(
    signer_for: Callable[..., LinkSigner], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(presigned_links, "RENEWAL_CHECK_SECONDS", 0.01)
    tries = 0

    def fail_thrice() -> dict[str, str]:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise ValueError("no JSON")
        return Provider(timedelta(hours=1))()

    first = Provider(timedelta(minutes=5))()
    credentials = RefreshableCredentials.create_from_metadata(first, refresh_using=fail_thrice, method="test")
    signer, first_done = signer_for(credentials), asyncio.Event()
    keeper = asyncio.create_task(signer.keep_renewed(first_done=first_done))
    await eventually(lambda: not signer.needs_renewal())
    keeper.cancel()

    assert tries == 4
    assert [each.message for each in caplog.records if "no credentials" in each.message] == [
        "no credentials to sign links with: no JSON"
    ]


async def test_hanging_source_delays_startup_only_briefly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go = threading.Event()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setattr(storage_client, "CREDENTIALS_SECONDS", 0.05)
    monkeypatch.setattr(LinkSigner, "renew", lambda _: go.wait())
    storage = storage_client.ObjectStorage(Settings(s3_endpoint_url="http://127.0.0.1:1"))
    try:
        await asyncio.wait_for(storage.start(), 60)
        with pytest.raises(StorageUnavailableError, match="no credentials yet"):
            storage.link("runs/1/picture.png", "image/png")
    finally:
        go.set()
        await storage.stop()
        storage.close()


def test_signing_opens_no_connection(signer_for: Callable[..., LinkSigner], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a name was looked up")

    signer = signer_for(Credentials("key", "secret"))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)

    assert signer.sign(PARAMETERS).url.startswith("https://s3.example.com/darkroom/runs/1/picture.png?")
