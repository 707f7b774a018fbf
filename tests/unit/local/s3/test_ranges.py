"""Byte ranges of the embedded S3 server: the satisfiable part is sent, and 416 when there is none."""

import httpx
import pytest
from botocore.exceptions import ClientError

from darkroom_local.s3.ranges import satisfiable_range
from darkroom_local.s3.storage import BUCKET

CONTENT = b"0123456789"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=2-5", b"2345"),
        ("bytes=0-", CONTENT),
        ("bytes=0-0", b"0"),
        ("bytes=7-100", b"789"),
        ("bytes=9-9", b"9"),
        ("bytes=0-99999999999999999999", CONTENT),
        ("bytes=-3", b"789"),
        ("bytes=-10", CONTENT),
        ("bytes=-100", CONTENT),
    ],
)
def test_the_satisfiable_part_of_a_range_is_sent(s3, header, expected):
    answer = s3.get_object(Bucket=BUCKET, Key="photo.png", Range=header)

    first = CONTENT.index(expected)
    assert answer["Body"].read() == expected
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert answer["ContentRange"] == f"bytes {first}-{first + len(expected) - 1}/10"
    assert answer["ContentLength"] == len(expected)


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=100-", "bytes=-0"])
def test_a_range_after_the_end_is_416(s3, header):
    with pytest.raises(ClientError) as refusal:
        s3.get_object(Bucket=BUCKET, Key="photo.png", Range=header)

    response = refusal.value.response
    assert response["Error"]["Code"] == "InvalidRange"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 416
    assert response["ResponseMetadata"]["HTTPHeaders"]["content-range"] == "bytes */10"


@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=-", "bytes=a-b", "lines=1-2"])
def test_a_malformed_range_is_ignored(s3, header):
    answer = s3.get_object(Bucket=BUCKET, Key="photo.png", Range=header)

    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Body"].read()) == (200, CONTENT)


def test_an_empty_object_has_no_satisfiable_range(s3):
    s3.put_object(Bucket=BUCKET, Key="empty", Body=b"")

    for header in ("bytes=0-", "bytes=-1"):
        with pytest.raises(ClientError, match="InvalidRange"):
            s3.get_object(Bucket=BUCKET, Key="empty", Range=header)
    assert s3.get_object(Bucket=BUCKET, Key="empty")["Body"].read() == b""


def test_a_signed_link_supports_ranges(s3):
    link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "photo.png"})

    answer = httpx.get(link, headers={"Range": "bytes=8-"}, trust_env=False)

    assert (answer.status_code, answer.content) == (206, b"89")


def test_if_range_with_another_etag_returns_the_whole_object(s3):
    link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "photo.png"})
    etag = s3.head_object(Bucket=BUCKET, Key="photo.png")["ETag"]

    for condition, status in ((etag, 206), ('"another"', 200)):
        headers = {"Range": "bytes=8-", "If-Range": condition}
        assert httpx.get(link, headers=headers, trust_env=False).status_code == status


def test_a_missing_object_is_404_whatever_the_range(s3):
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=BUCKET, Key="nothing", Range="bytes=0-1")


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [("bytes=0-0", 0, range(0)), ("bytes=3-", 2, range(0)), ("bytes=1-1", 2, range(1, 2)), ("items=0-1", 2, None)],
)
def test_satisfiable_range(header, size, expected):
    assert satisfiable_range(header, size) == expected
