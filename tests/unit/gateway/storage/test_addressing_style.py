"""Addressing styles: with the virtual-hosted style, the bucket is in the host of every request and link."""

from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from typing import Any

import httpx
import pytest
from support.virtual_s3 import VirtualS3, virtual_s3

from darkroom_gateway.errors import SettingsError
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage.client import ObjectStorage


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualS3]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with virtual_s3(monkeypatch) as server:
        yield server


def settings(endpoint_url: str, style: str, **more: str) -> Settings:
    return Settings.from_environment(
        {"DARKROOM_S3_ENDPOINT_URL": endpoint_url, "DARKROOM_S3_ADDRESSING_STYLE": style, **more}
    )


def test_virtual_hosted_style_has_the_bucket_in_the_host(store: VirtualS3) -> None:
    with closing(ObjectStorage(settings(store.endpoint_url, "virtual"))) as storage:
        storage.put("runs/1/ä b.png", BytesIO(b"picture"), "image/png")
        assert storage.read("runs/1/ä b.png") == b"picture"
        assert storage.read("nothing") is None
        storage.check()
        link = storage.link("runs/1/ä b.png", "image/png").url

    host = store.endpoint_url.removeprefix("http://")
    assert store.hosts == {f"darkroom.{host}"}
    assert link.startswith(f"http://darkroom.{host}/runs/1/%C3%A4%20b.png?")
    assert httpx.get(link, trust_env=False).content == b"picture"


@pytest.mark.parametrize("style", ["", "path", "auto"])
def test_other_styles_have_the_bucket_in_the_path(store: VirtualS3, style: str) -> None:
    with closing(ObjectStorage(settings(store.endpoint_url, style))) as storage:
        assert storage.link("runs/1/a.png", "image/png").url.startswith(f"{store.endpoint_url}/darkroom/runs/1/a.png?")
        assert storage.read("runs/1/a.png") is None
    assert store.hosts == {store.endpoint_url.removeprefix("http://")}


def test_links_use_the_public_host_in_the_same_style(store: VirtualS3) -> None:
    public = {"DARKROOM_S3_PUBLIC_ENDPOINT_URL": "https://s3.example.com/"}
    with closing(ObjectStorage(settings(store.endpoint_url, "virtual", **public))) as storage:
        assert storage.link("a.png", "image/png").url.startswith("https://darkroom.s3.example.com/a.png?")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"DARKROOM_S3_PUBLIC_ENDPOINT_URL": "https://example.com/s3"}, "PUBLIC_ENDPOINT_URL is .* covers the path"),
        ({"DARKROOM_S3_ENDPOINT_URL": "https://example.com/s3"}, "DARKROOM_S3_ENDPOINT_URL is .* covers the path"),
        ({"DARKROOM_S3_ADDRESSING_STYLE": "host"}, "use path, virtual or auto"),
        ({"DARKROOM_S3_ADDRESSING_STYLE": "virtual", "DARKROOM_S3_BUCKET": "a.b"}, "can't be part of a host name"),
        (
            {"DARKROOM_S3_ADDRESSING_STYLE": "virtual", "DARKROOM_S3_PUBLIC_ENDPOINT_URL": "http://127.0.0.1:1"},
            "has no host name",
        ),
    ],
)
def test_unusable_endpoints_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.from_environment(given)
