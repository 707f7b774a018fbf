"""The embedded S3 server: what it checks, what it serves, and what it refuses rather than get wrong."""

import contextlib
import sys

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from darkroom_local.ports import free_ports
from darkroom_local.probes import HttpProbe
from darkroom_local.s3 import unserved_feature
from darkroom_local.storage import BUCKET, Storage
from darkroom_local.supervisor import Program, Supervisor


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s3")
    data_dir = str(folder / "data")
    storage = Storage(free_ports(1)[0], "ACCESS", "secret-key")
    program = Program(
        name="s3",
        command=[sys.executable, "-m", "darkroom_local.s3", "--data-dir", data_dir, "--port", str(storage.port)],
        ready=HttpProbe(f"{storage.endpoint_url}/.health"),
        environment={"NANIO_ACCESS_KEY": storage.access_key, "NANIO_SECRET_KEY": storage.secret_key},
    )
    supervisor = Supervisor(folder / "logs")
    supervisor.start(program)
    storage.fill()
    yield storage
    supervisor.stop()


@pytest.fixture(scope="module")
def s3(storage):
    with contextlib.closing(storage.client()) as client:
        client.put_object(Bucket=BUCKET, Key="photo.png", Body=b"0123456789", ContentType="image/png")
        yield client


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

    storage.fill()

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
    ("method", "path", "query", "headers", "expected"),
    [
        ("GET", "/b/k", {}, {}, None),
        ("GET", "/b/k", {}, {"range": "bytes=2-5"}, None),
        ("PUT", "/b/k", {}, {}, None),
        ("PUT", "/b/k", {"partNumber": "1", "uploadId": "u"}, {}, None),
        ("GET", "/b", {"list-type": "2"}, {}, None),
        ("GET", "/", {}, {}, None),
        ("POST", "/b", {"delete": ""}, {}, None),
        ("GET", "/b/k", {}, {"if-none-match": '"x"'}, None),
        ("GET", "/b/k", {}, {"range": "bytes=-5"}, "the range bytes=-5"),
        ("GET", "/b/k", {}, {"range": "bytes=0-1,4-5"}, "the range bytes=0-1,4-5"),
        ("GET", "/b", {}, {}, "version 1 of ListObjects"),
        ("GET", "/b", {"versioning": ""}, {}, "the query parameter versioning"),
        ("PUT", "/b/k", {"tagging": ""}, {}, "the query parameter tagging"),
        ("PUT", "/b/k", {}, {"if-match": '"x"'}, "the header if-match"),
        ("PUT", "/b/k", {}, {"x-amz-acl": "public-read"}, "the header x-amz-acl"),
        ("POST", "/b", {}, {}, "uploads by POST policy"),
    ],
)
def test_what_is_not_served_is_named(method, path, query, headers, expected):
    assert unserved_feature(method, path, query, headers) == expected


def test_health_needs_no_signature(storage):
    assert httpx.get(f"{storage.endpoint_url}/.health", trust_env=False).text == "ok"
