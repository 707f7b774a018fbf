"""Which S3 endpoints, bucket names and addressing styles are accepted, and what is said of the others."""

import pytest

from darkroom_contract.storage.s3 import AddressingStyle, read_addressing_style, read_endpoint_url, require_host_for

NAME = "DARKROOM_S3_PUBLIC_ENDPOINT_URL"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (None, None),
        ("", None),
        ("https://s3.example.com", "https://s3.example.com"),
        ("https://s3.example.com/", "https://s3.example.com"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("HTTP://[::1]:9000/", "http://[::1]:9000"),
    ],
)
def test_a_host_and_a_port_are_accepted(text: str | None, read: str | None) -> None:
    assert read_endpoint_url(NAME, text) == read


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("https://example.com/s3", "covers the path.*a host name or a port of its own"),
        ("https://example.com/s3/", "covers the path"),
        ("https://example.com//", "covers the path"),
        ("https://example.com?x=1", "no query and no fragment"),
        ("https://example.com/?", "no query and no fragment"),
        ("https://example.com#s3", "no query and no fragment"),
        ("example.com", "write https://host"),
        ("example.com:9000", "write https://host"),
        ("//example.com", "write https://host"),
        ("s3://bucket", "write https://host"),
        ("https://", "write https://host"),
        ("https://:9000", "write https://host"),
        ("https://host:port", "write https://host"),
        ("https://host:99999", "write https://host"),
        ("https://ho st", "write https://host"),
        ("https://host\n", "write https://host"),
    ],
)
def test_everything_else_is_refused_with_advice(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=rf"{NAME} is .*{advice}"):
        read_endpoint_url(NAME, text)


@pytest.mark.parametrize(
    "text", ["https://key:secret@example.com", "https://key:secret@example.com/s3", "key:secret@host"]
)
def test_a_password_in_an_endpoint_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="holds a user or a password") as refusal:
        read_endpoint_url(NAME, text)
    assert "secret" not in str(refusal.value).replace("AWS_SECRET", "").lower()


def test_styles() -> None:
    assert [read_addressing_style(text) for text in (None, "", "path", "virtual", "auto")] == [
        *[AddressingStyle.PATH] * 3,
        AddressingStyle.VIRTUAL,
        AddressingStyle.AUTO,
    ]
    with pytest.raises(ValueError, match="DARKROOM_S3_ADDRESSING_STYLE is 'Virtual': use path, virtual or auto"):
        read_addressing_style("Virtual")


@pytest.mark.parametrize("bucket", ["Upper", "under_score", "a.b", "ab", "-ab", "ab-", "a" * 64])
def test_virtual_needs_a_bucket_that_is_one_label_of_a_host_name(bucket: str) -> None:
    with pytest.raises(ValueError, match="can't be part of a host name"):
        require_host_for(AddressingStyle.VIRTUAL, bucket, "https://s3.example.com")
    require_host_for(AddressingStyle.PATH, bucket, "https://s3.example.com")


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "http://[::1]:9000"])
def test_virtual_needs_a_host_name(endpoint: str) -> None:
    with pytest.raises(ValueError, match="has no host name"):
        require_host_for(AddressingStyle.VIRTUAL, "darkroom", None, endpoint)
    require_host_for(AddressingStyle.VIRTUAL, "darkroom", None, "http://s3.localhost:9000")
