"""The Content-Security-Policy of pages allows object storage for pictures and uploads, and nothing else."""

import boto3
import pytest
from botocore.config import Config

from darkroom_gateway.http.page_headers import page_headers
from darkroom_gateway.storage.presigned_links import LinkSigner


def policy_of(headers: dict[str, str]) -> dict[str, list[str]]:
    directives = (each.strip().split(" ") for each in headers["Content-Security-Policy"].split(";"))
    return {name: sources for name, *sources in directives}


def test_pictures_and_uploads_may_use_the_storage() -> None:
    policy = policy_of(page_headers("https://minio.example.com:9000"))

    with_storage = {name for name, sources in policy.items() if "https://minio.example.com:9000" in sources}
    assert with_storage == {"img-src", "media-src", "connect-src"}
    assert policy["default-src"] == ["'self'"]
    assert policy["frame-ancestors"] == policy["form-action"] == policy["object-src"] == ["'none'"]
    assert policy["base-uri"] == ["'self'"]
    assert "unsafe" not in str(policy)


def test_pages_share_nothing_with_other_origins() -> None:
    headers = page_headers(None)

    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "microphone=()" in headers["Permissions-Policy"]


@pytest.mark.parametrize(
    ("endpoint", "style", "origin"),
    [
        ("https://s3.example.com:9000", "path", "https://s3.example.com:9000"),
        ("https://s3.example.com", "virtual", "https://darkroom.s3.example.com"),
        (None, "path", "https://s3.eu-central-1.amazonaws.com"),
        (None, "virtual", "https://darkroom.s3.eu-central-1.amazonaws.com"),
    ],
)
def test_origin_of_links_is_known_without_credentials(endpoint: str | None, style: str, origin: str) -> None:
    config = Config(signature_version="s3v4", s3={"addressing_style": style})
    signer = LinkSigner(boto3.Session(), endpoint, "eu-central-1", config, 3600)

    assert signer.origin("darkroom") == origin
