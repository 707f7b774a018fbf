"""The embedded S3 server: what it checks, what it serves, and what it refuses rather than get wrong."""

import contextlib

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from darkroom_local.s3.server import unserved_feature
from darkroom_local.s3.storage import BUCKET


def refusal(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(Bucket=BUCKET, Key="photo.png", **arguments)
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_an_object_comes_back_as_it_was_put(s3):
    answer = s3.get_object(Bucket=BUCKET, Key="photo.png")

    assert (answer["Body"].read(), answer["ContentType"]) == (b"0123456789", "image/png")


def test_the_bucket_is_made_once_with_the_sample_photos_in_it(storage, s3):
    photos = s3.list_objects_v2(Bucket=BUCKET, Prefix="datasets/examples/star/")["Contents"]
    assert len(photos) == 5
    s3.delete_object(Bucket=BUCKET, Key=photos[0]["Key"])

    storage.create_bucket()

    assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == [BUCKET]
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="datasets/examples/star/")["KeyCount"] == 4


def test_a_signed_link_works_without_credentials(s3):
    link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "photo.png"})

    assert httpx.get(link, trust_env=False).content == b"0123456789"


def test_a_link_is_refused_once_it_has_expired(s3, wait):
    link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "photo.png"}, ExpiresIn=1)

    wait(lambda: httpx.get(link, trust_env=False).status_code == 403, "the link has expired")


@pytest.mark.parametrize("change", [("photo.png", "other.png"), ("Expires=3600", "Expires=7200")])
def test_a_link_that_was_tampered_with_is_refused(s3, change):
    link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "photo.png"})

    assert httpx.get(link.replace(*change), trust_env=False).status_code == 403


def test_a_request_without_or_with_a_wrong_signature_is_refused(storage, s3):
    stranger = boto3.client(
        "s3",
        endpoint_url=storage.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=storage.access_key,
        aws_secret_access_key="wrong",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    with contextlib.closing(stranger):
        assert refusal(stranger.get_object) == 403
    assert httpx.get(f"{storage.endpoint_url}/{BUCKET}/photo.png", trust_env=False).status_code == 403


def test_a_link_may_name_the_file_for_the_browser(s3):
    wanted = {"ResponseContentDisposition": 'attachment; filename="star.png"', "ResponseContentType": "image/x-star"}
    link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "photo.png", **wanted})

    headers = httpx.get(link, trust_env=False).headers

    assert headers["content-disposition"] == 'attachment; filename="star.png"'
    assert headers["content-type"] == "image/x-star"


@pytest.mark.parametrize(
    ("parameter", "header", "value"),
    [
        ("ResponseContentEncoding", "content-encoding", "identity"),
        ("ResponseContentLanguage", "content-language", "de"),
        ("ResponseCacheControl", "cache-control", "no-store"),
        ("ResponseContentDisposition", "content-disposition", "inline; filename*=UTF-8''%C3%A4.png"),
    ],
)
def test_a_link_may_set_any_header_that_s3_lets_it(s3, parameter, header, value):
    link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "photo.png", parameter: value})

    answer = httpx.get(link, trust_env=False, headers={"Range": "bytes=0-1"})

    assert (answer.status_code, answer.headers[header], answer.content) == (206, value, b"01")


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "ж.png"])
def test_what_no_header_can_hold_is_refused(s3, value):
    link = s3.generate_presigned_url(
        "get_object", {"Bucket": BUCKET, "Key": "photo.png", "ResponseContentDisposition": value}
    )

    answer = httpx.get(link, trust_env=False)

    assert (answer.status_code, "InvalidArgument" in answer.text) == (400, True)


def test_a_read_on_condition_of_another_version_is_refused(s3):
    etag = s3.head_object(Bucket=BUCKET, Key="photo.png")["ETag"]

    assert s3.get_object(Bucket=BUCKET, Key="photo.png", IfMatch=etag)["Body"].read() == b"0123456789"
    assert refusal(s3.get_object, IfMatch='"another"') == 412


def test_tagging_and_access_lists_are_refused_and_leave_the_object_alone(s3):
    assert refusal(s3.put_object_tagging, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}) == 501
    assert refusal(s3.put_object_acl, ACL="public-read") == 501
    assert refusal(s3.put_object, Body=b"other", IfNoneMatch="*") == 501

    assert s3.get_object(Bucket=BUCKET, Key="photo.png")["Body"].read() == b"0123456789"


def test_a_connection_is_still_good_after_a_refusal(s3):
    for _ in range(3):
        assert refusal(s3.get_object_tagging) == 501
        assert s3.get_object(Bucket=BUCKET, Key="photo.png")["Body"].read() == b"0123456789"


@pytest.mark.parametrize(
    ("method", "query", "headers", "expected"),
    [
        ("GET", {}, {}, None),
        ("GET", {}, {"range": "bytes=2-5"}, None),
        ("PUT", {}, {}, None),
        ("PUT", {"partNumber": "1", "uploadId": "u"}, {}, None),
        ("GET", {"list-type": "2"}, {}, None),
        ("POST", {"delete": ""}, {}, None),
        ("GET", {}, {"if-none-match": '"x"'}, None),
        ("GET", {}, {"range": "bytes=-5"}, None),
        ("GET", {}, {"range": "bytes=0-1,4-5"}, "the range bytes=0-1,4-5"),
        ("GET", {"versioning": ""}, {}, "the query parameter versioning"),
        ("PUT", {"tagging": ""}, {}, "the query parameter tagging"),
        ("PUT", {}, {"if-match": '"x"'}, "the header if-match"),
        ("PUT", {}, {"x-amz-acl": "public-read"}, "the header x-amz-acl"),
        ("POST", {}, {}, "uploads by POST policy"),
    ],
)
def test_what_is_not_served_is_named(method, query, headers, expected):
    assert unserved_feature(method, query, headers) == expected


def test_health_needs_no_signature(storage):
    assert httpx.get(f"{storage.endpoint_url}/.health", trust_env=False).text == "ok"
