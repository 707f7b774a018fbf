"""Listings of the embedded S3 server, complete and in pages, compared with a simple model."""

from dataclasses import dataclass

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nanio.storage.filesystem import FilesystemStorage
from nanio.storage.paths import META_DIR_NAME
from starlette.datastructures import QueryParams

from darkroom_local.s3.listing import contents_of, keys_below, page, parse_request
from darkroom_local.s3.storage import Storage

KEYS = (
    *("a-b", "a.b", "a/b", "a/c/d", "a/c/e", "a0", "A", "b!/x", "b/x/y/z", "c d/+ %.png"),
    *("ä/ö", "z&<>'\"", "日/本", "😀", "\uffee", "x/.nanio-own", "x/.tmp.own", "photos.json"),
)
"""Names that sort differently as paths and as bytes, need escaping in XML and URLs, or look like nanio's own."""
PREFIXES = ("", "a", "a/", "a/c", "a/c/", "a/c/d", "b", "b/x/", "nothing", "nothing/", "ä/", "../", "./", "a//", "日")
DELIMITERS = ("", "/", "/x/", "-", "b")
BUCKET = "listing"


def expected(keys, prefix="", delimiter="", after=""):
    """All entries by S3's definition: keys and common prefixes, sorted by their UTF-8 bytes."""
    entries = set()
    for key in keys:
        if key.startswith(prefix):
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            entries.add((key, True) if end < 0 else (key[: end + len(delimiter)], False))
    return sorted((each for each in entries if each[0].encode() > after.encode()), key=lambda each: each[0].encode())


@dataclass(frozen=True)
class Lister:
    """Reads all pages of a listing, in both versions."""

    client: object

    def entries(self, operation, **arguments):
        pages = self.client.get_paginator(operation).paginate(Bucket=BUCKET, **arguments)
        found = []
        for each in pages:
            keys = [(one["Key"], True) for one in each.get("Contents", [])]
            prefixes = [(one["Prefix"], False) for one in each.get("CommonPrefixes", [])]
            found += sorted(keys + prefixes, key=lambda entry: entry[0].encode())
        return found


@pytest.fixture(scope="module")
def filled(s3):
    s3.create_bucket(Bucket=BUCKET)
    for key in KEYS:
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    return Lister(s3)


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize("page_size", [1, 2, 3, 1000])
def test_every_key_is_listed_once_and_in_order_at_any_page_size(filled, operation, page_size):
    for delimiter in DELIMITERS:
        found = filled.entries(operation, Delimiter=delimiter, PaginationConfig={"PageSize": page_size})
        assert found == expected(KEYS, delimiter=delimiter), delimiter


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_match_text_and_not_folders(filled, operation, prefix):
    for delimiter in DELIMITERS:
        paging = {"PageSize": 2}
        found = filled.entries(operation, Prefix=prefix, Delimiter=delimiter, PaginationConfig=paging)
        assert found == expected(KEYS, prefix, delimiter), delimiter


@pytest.mark.parametrize("after", ["a", "a/", "a/b", "a/zzz", "b/x/y/z", "ÿ", "\U0010ffff"])
def test_a_listing_starts_after_the_given_key(filled, after):
    for delimiter in DELIMITERS:
        remaining = expected(KEYS, "", delimiter, after)
        assert filled.entries("list_objects_v2", Delimiter=delimiter, StartAfter=after) == remaining
        assert filled.entries("list_objects", Delimiter=delimiter, Marker=after) == remaining


def test_an_entry_has_size_etag_and_time(filled, s3):
    [entry] = s3.list_objects_v2(Bucket=BUCKET, Prefix="a/b")["Contents"]
    head = s3.head_object(Bucket=BUCKET, Key="a/b")

    assert (entry["Size"], entry["ETag"]) == (head["ContentLength"], head["ETag"])
    assert entry["LastModified"] == head["LastModified"]


@pytest.mark.parametrize(
    "metadata",
    [None, "", "{}", "null", "[]", '{"size": null, "etag": "", "last_modified": ""}'],
    ids=["no file", "empty", "no fields", "null", "list", "no size"],
)
def test_an_object_without_readable_metadata_is_listed_by_its_file(tmp_path, metadata):
    data = FilesystemStorage(tmp_path)
    data.create_bucket(BUCKET)
    path, described = tmp_path / BUCKET / "a" / "b", tmp_path / BUCKET / META_DIR_NAME / "a" / "b.json"
    for each in (path, described):
        each.parent.mkdir(parents=True)
    path.write_bytes(b"abc")
    if metadata is not None:
        described.write_text(metadata)

    [(name, content)] = contents_of(data, BUCKET, "a/b", "a/b")

    assert name == "Contents"
    assert "<Key>a/b</Key>" in content
    assert "<Size>3</Size>" in content


def test_an_object_that_was_deleted_since_the_walk_is_not_listed(tmp_path):
    data = FilesystemStorage(tmp_path)
    data.create_bucket(BUCKET)
    assert contents_of(data, BUCKET, "a", "a") == []


def test_pagination_fields(filled, s3):
    second = s3.list_objects_v2(Bucket=BUCKET, MaxKeys=2, Delimiter="/", StartAfter="A")
    first = s3.list_objects(Bucket=BUCKET, MaxKeys=2, Delimiter="/", Marker="A")

    assert (second["KeyCount"], second["IsTruncated"], second["StartAfter"], second["MaxKeys"]) == (2, True, "A", 2)
    assert (first["NextMarker"], first["Marker"], first["IsTruncated"]) == ("a.b", "A", True)
    assert "NextMarker" not in s3.list_objects(Bucket=BUCKET, MaxKeys=2)
    assert s3.list_objects_v2(Bucket=BUCKET, MaxKeys=0)["IsTruncated"] is False
    assert s3.list_objects_v2(Bucket=BUCKET, MaxKeys=5000)["MaxKeys"] == 1000


def test_an_incomplete_upload_is_not_listed(s3, storage: Storage):
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="under/way")
    s3.upload_part(Bucket=BUCKET, Key="under/way", UploadId=upload["UploadId"], PartNumber=1, Body=b"part")

    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix="under/")
    s3.abort_multipart_upload(Bucket=BUCKET, Key="under/way", UploadId=upload["UploadId"])


@pytest.mark.parametrize(
    "arguments",
    [{"ContinuationToken": "%%%"}, {"ContinuationToken": "w6Q"}, {"MaxKeys": -1}, {"EncodingType": "other"}],
)
def test_an_invalid_parameter_is_400(filled, s3, arguments):
    with pytest.raises(ClientError, match="InvalidArgument"):
        s3.list_objects_v2(Bucket=BUCKET, **arguments)


def test_a_missing_bucket_is_404(s3):
    for list_ in (s3.list_objects, s3.list_objects_v2):
        with pytest.raises(ClientError, match="NoSuchBucket"):
            list_(Bucket="not-there")


def test_other_requests_for_a_bucket_are_passed_to_nanio(filled, s3):
    assert s3.head_bucket(Bucket=BUCKET)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    assert s3.get_bucket_location(Bucket=BUCKET)["ResponseMetadata"]["HTTPStatusCode"] == 200


PART = st.text(alphabet="ab-.0 é😀", min_size=1, max_size=3).filter(lambda part: part not in (".", ".."))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    paths=st.sets(st.lists(PART, min_size=1, max_size=3).map("/".join), max_size=12),
    prefix=st.text(alphabet="ab-./é", max_size=3),
    delimiter=st.sampled_from(["", "/", "-", "a", "/a"]),
    max_keys=st.integers(1, 4),
)
def test_generated_keys_are_listed_like_the_model(tmp_path_factory, paths, prefix, delimiter, max_keys):
    bucket = tmp_path_factory.mktemp("bucket")
    keys = {path for path in paths if not any(other.startswith(path + "/") for other in paths)}
    for key in keys:
        (bucket / key).parent.mkdir(parents=True, exist_ok=True)
        (bucket / key).touch()
    found, after = [], ""
    while True:
        query = QueryParams({"prefix": prefix, "delimiter": delimiter, "max-keys": str(max_keys), "start-after": after})
        request = parse_request(QueryParams({**query, "list-type": "2"}))
        answer = page(keys_below(bucket, prefix, delimiter), request)
        found += [(each, True) for each in answer.keys] + [(each, False) for each in answer.common_prefixes]
        if answer.next_after is None:
            break
        assert len(answer.keys) + len(answer.common_prefixes) == max_keys
        after = answer.next_after
    assert len(found) == len(set(found))
    assert sorted(found, key=lambda each: each[0].encode()) == expected(keys, prefix, delimiter)
