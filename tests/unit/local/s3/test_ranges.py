"""Byte ranges of the embedded S3 server: what lies within the object is sent, and 416 when nothing does."""

import httpx
import pytest
from botocore.exceptions import ClientError

from darkroom_local.s3.ranges import satisfied_range
from darkroom_local.s3.storage import BUCKET

CONTENT = b"0123456789"


@pytest.mark.parametrize(
    ("asked", "expected"),
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
def test_a_range_is_what_of_it_there_is(s3, asked, expected):
    answer = s3.get_object(Bucket=BUCKET, Key="photo.png", Range=asked)

    first = CONTENT.index(expected)
    assert answer["Body"].read() == expected
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert answer["ContentRange"] == f"bytes {first}-{first + len(expected) - 1}/10"
    assert answer["ContentLength"] == len(expected)


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-20", "bytes=100-", "bytes=-0"])
def test_a_range_behind_the_end_is_416(s3, asked):
    with pytest.raises(ClientError) as refusal:
        s3.get_object(Bucket=BUCKET, Key="photo.png", Range=asked)

    response = refusal.value.response
    assert response["Error"]["Code"] == "InvalidRange"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 416
    assert response["ResponseMetadata"]["HTTPHeaders"]["content-range"] == "bytes */10"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=-", "bytes=a-b", "lines=1-2"])
def test_a_range_that_is_none_is_passed_over(s3, asked):
    answer = s3.get_object(Bucket=BUCKET, Key="photo.png", Range=asked)

    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Body"].read()) == (200, CONTENT)


def test_an_empty_object_has_no_range(s3):
    s3.put_object(Bucket=BUCKET, Key="empty", Body=b"")

    for asked in ("bytes=0-", "bytes=-1"):
        with pytest.raises(ClientError, match="InvalidRange"):
            s3.get_object(Bucket=BUCKET, Key="empty", Range=asked)
    assert s3.get_object(Bucket=BUCKET, Key="empty")["Body"].read() == b""


def test_a_link_can_be_read_by_ranges(s3):
    link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "photo.png"})

    answer = httpx.get(link, headers={"Range": "bytes=8-"}, trust_env=False)

    assert (answer.status_code, answer.content) == (206, b"89")


def test_a_range_of_another_version_is_the_whole_object(s3):
    link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "photo.png"})
    etag = s3.head_object(Bucket=BUCKET, Key="photo.png")["ETag"]

    for condition, status in ((etag, 206), ('"another"', 200)):
        headers = {"Range": "bytes=8-", "If-Range": condition}
        assert httpx.get(link, headers=headers, trust_env=False).status_code == status


def test_a_missing_object_is_404_whatever_the_range(s3):
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=BUCKET, Key="nothing", Range="bytes=0-1")


@pytest.mark.parametrize(
    ("asked", "size", "expected"),
    [("bytes=0-0", 0, range(0)), ("bytes=3-", 2, range(0)), ("bytes=1-1", 2, range(1, 2)), ("items=0-1", 2, None)],
)
def test_ranges_are_counted_right(asked, size, expected):
    assert satisfied_range(asked, size) == expected
