"""The embedded S3 server: signatures, signed links, and rejection of unsupported features."""

import contextlib

import httpx
import pytest
from botocore.exceptions import ClientError
from nanio.storage.paths import META_DIR_NAME
from support.s3_server import S3Server, s3_client

from darkroom_local.s3.server import unsupported_feature
from darkroom_local.s3.storage import BUCKET


def error_status(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(Bucket=BUCKET, Key="photo.png", **arguments)
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_an_object_is_read_back_unchanged(s3):
    answer = s3.get_object(Bucket=BUCKET, Key="photo.png")

    assert (answer["Body"].read(), answer["ContentType"]) == (b"0123456789", "image/png")


def test_the_bucket_is_created_with_the_start_pictures_of_the_examples(s3):
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix="images/examples/")["Contents"]
    assert [each["Key"] for each in found] == [
        f"images/examples/{name}.png" for name in ("circle", "two-shapes-mask", "two-shapes")
    ]


def test_the_bucket_is_created_once_with_the_sample_photos(storage, s3):
    photos = s3.list_objects_v2(Bucket=BUCKET, Prefix="datasets/examples/star/")["Contents"]
    assert len(photos) == 5
    s3.delete_object(Bucket=BUCKET, Key=photos[0]["Key"])

    storage.create_bucket()

    assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == [BUCKET]
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="datasets/examples/star/")["KeyCount"] == 4


def test_a_signed_link_works_without_credentials(s3):
    link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "photo.png"})

    assert httpx.get(link, trust_env=False).content == b"0123456789"


def test_an_expired_link_is_rejected(s3, wait):
    link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "photo.png"}, ExpiresIn=1)

    wait(lambda: httpx.get(link, trust_env=False).status_code == 403, "the link has expired")


@pytest.mark.parametrize("change", [("photo.png", "other.png"), ("Expires=3600", "Expires=7200")])
def test_a_tampered_link_is_rejected(s3, change):
    link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "photo.png"})

    assert httpx.get(link.replace(*change), trust_env=False).status_code == 403


def test_a_missing_or_wrong_signature_is_rejected(storage, s3):
    stranger = s3_client(storage.endpoint_url, storage.access_key, "wrong")
    with contextlib.closing(stranger):
        assert error_status(stranger.get_object) == 403
    assert httpx.get(f"{storage.endpoint_url}/{BUCKET}/photo.png", trust_env=False).status_code == 403


def test_a_link_sets_the_file_name_for_browsers(s3):
    overrides = {"ResponseContentDisposition": 'attachment; filename="star.png"', "ResponseContentType": "image/x-star"}
    link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "photo.png", **overrides})

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
def test_a_link_sets_the_response_headers_of_s3(s3, parameter, header, value):
    link = s3.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "photo.png", parameter: value})

    answer = httpx.get(link, trust_env=False, headers={"Range": "bytes=0-1"})

    assert (answer.status_code, answer.headers[header], answer.content) == (206, value, b"01")


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "ж.png"])
def test_an_invalid_header_value_is_rejected(s3, value):
    link = s3.generate_presigned_url(
        "get_object", {"Bucket": BUCKET, "Key": "photo.png", "ResponseContentDisposition": value}
    )

    answer = httpx.get(link, trust_env=False)

    assert (answer.status_code, "InvalidArgument" in answer.text) == (400, True)


def test_if_match_with_another_etag_is_rejected(s3):
    etag = s3.head_object(Bucket=BUCKET, Key="photo.png")["ETag"]

    assert s3.get_object(Bucket=BUCKET, Key="photo.png", IfMatch=etag)["Body"].read() == b"0123456789"
    assert error_status(s3.get_object, IfMatch='"another"') == 412


def test_tagging_and_acls_are_rejected_and_do_not_change_the_object(s3):
    assert error_status(s3.put_object_tagging, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}) == 501
    assert error_status(s3.put_object_acl, ACL="public-read") == 501
    assert error_status(s3.put_object, Body=b"other", IfNoneMatch="*") == 501

    assert s3.get_object(Bucket=BUCKET, Key="photo.png")["Body"].read() == b"0123456789"


def test_a_connection_is_usable_after_a_rejected_request(s3):
    for _ in range(3):
        assert error_status(s3.get_object_tagging) == 501
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
def test_unsupported_features_are_named(method, query, headers, expected):
    assert unsupported_feature(method, query, headers) == expected


def test_health_needs_no_signature(storage):
    assert httpx.get(f"{storage.endpoint_url}/.health", trust_env=False).text == "ok"


@pytest.mark.parametrize("metadata", ["[]", "null", "7", '{"size": null, "etag": "", "last_modified": ""}'])
def test_object_whose_metadata_is_no_object_of_json_is_read_by_its_file(tmp_path, metadata):
    with S3Server(tmp_path) as server, contextlib.closing(server.client()) as s3:
        s3.put_object(Bucket=BUCKET, Key="a/b", Body=b"abc")
        (server.data_dir / BUCKET / META_DIR_NAME / "a" / "b.json").write_text(metadata)

        assert s3.head_object(Bucket=BUCKET, Key="a/b")["ContentLength"] == 3
        assert s3.get_object(Bucket=BUCKET, Key="a/b")["Body"].read() == b"abc"
        assert s3.get_object(Bucket=BUCKET, Key="a/b", Range="bytes=1-")["Body"].read() == b"bc"
        s3.put_object(Bucket=BUCKET, Key="a/b", Body=b"abcd")
        assert s3.head_object(Bucket=BUCKET, Key="a/b")["ETag"] != '""'
