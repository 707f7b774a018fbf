"""ListObjects and ListObjectsV2 of the embedded S3 server. Routes behind nanio's signature check; see server.py.

nanio's own listings lose keys in continued pages (`a-b` beside `a/b`), repeat common prefixes, and support one
delimiter only. Here keys are sorted by their UTF-8 bytes, and keys with the same prefix up to the delimiter are one
entry. Keys are read from nanio's data folder, where an object is a file at `<bucket>/<key>`.
"""

import base64
import binascii
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from nanio.errors import InvalidArgument, NoSuchKey
from nanio.handlers.bucket import dispatch_bucket
from nanio.storage.filesystem import FilesystemStorage
from nanio.storage.metadata import read_metadata
from nanio.storage.paths import META_DIR_NAME
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from darkroom_local.s3.object_files import info_of_file

MAX_KEYS = 1000
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

_PARTIAL_UPLOAD = re.compile(r"\.tmp\.[0-9a-f]{32}")
"""nanio's name of an incomplete file, in the folder of its final name."""
_NANIO_PREFIX = ".nanio"
"""Of nanio's own files at the top of a bucket."""


@dataclass(frozen=True)
class ListingRequest:
    """The parameters of a listing."""

    version: int
    prefix: str
    delimiter: str
    after: str
    """Entries up to and including this one are skipped."""
    max_keys: int
    url_encoded: bool


@dataclass(frozen=True)
class Page:
    """Sorted entries: keys, and common prefixes, which end with the delimiter."""

    keys: list[str]
    common_prefixes: list[str]
    next_after: str | None
    """The last entry of this page, when more follow."""


def routes() -> list[Route]:
    """Routes that take precedence over nanio's."""
    return [Route(path, _list_or_other, methods=["GET"]) for path in ("/{bucket}", "/{bucket}/")]


async def _list_or_other(request: Request) -> Response:
    query = request.query_params
    if request.method != "GET" or "location" in query or "uploads" in query:
        answer: Response = await dispatch_bucket(request)
        return answer
    storage: FilesystemStorage = request.app.state.storage
    bucket = request.path_params["bucket"]
    storage.head_bucket(bucket)
    listing = parse_request(query)
    found = page(keys_below(storage.data_dir / bucket, listing.prefix, listing.delimiter), listing)
    return Response(_document(storage, bucket, listing, found, query), media_type="application/xml")


def parse_request(query: QueryParams) -> ListingRequest:
    """Raises nanio's `InvalidArgument` (400)."""
    version = 2 if query.get("list-type") == "2" else 1
    token = query.get("continuation-token") if version == 2 else None
    after = query.get("start-after" if version == 2 else "marker", "")
    max_keys = query.get("max-keys", str(MAX_KEYS))
    if not re.fullmatch(r"[0-9]{1,10}", max_keys):
        raise InvalidArgument(f"max-keys must be a number from 0, not {max_keys!r}")
    if query.get("encoding-type", "url") != "url":
        raise InvalidArgument("the only supported encoding-type is url")
    return ListingRequest(
        version=version,
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        after=after if token is None else _decoded(token),
        max_keys=min(int(max_keys), MAX_KEYS),
        url_encoded="encoding-type" in query,
    )


def page(keys: Iterator[str], listing: ListingRequest) -> Page:
    """The first `max_keys` entries after `after`."""
    prefix, delimiter = listing.prefix, listing.delimiter
    entries = dict(_entry_of(key, prefix, delimiter) for key in keys if key.startswith(prefix))
    wanted = sorted((each for each in entries if each.encode() > listing.after.encode()), key=str.encode)
    listed = wanted[: listing.max_keys]
    return Page(
        keys=[each for each in listed if entries[each]],
        common_prefixes=[each for each in listed if not entries[each]],
        next_after=listed[-1] if 0 < len(listed) < len(wanted) else None,
    )


def _entry_of(key: str, prefix: str, delimiter: str) -> tuple[str, bool]:
    """The key, or its common prefix up to the first delimiter after `prefix`; and whether it is a key."""
    end = key.find(delimiter, len(prefix)) if delimiter else -1
    return (key, True) if end < 0 else (key[: end + len(delimiter)], False)


def keys_below(bucket_dir: Path, prefix: str, delimiter: str) -> Iterator[str]:
    """Keys that may begin with the prefix, unsorted; with delimiter `/`, one key for each common prefix."""
    *folders, _ = prefix.split("/")
    # No key has such a part, and none may become a path.
    if any(part in ("", ".", "..") or "\0" in part for part in folders) or (folders and _is_hidden(folders[0], True)):
        return
    start = "".join(f"{part}/" for part in folders)
    yield from _walk(bucket_dir / start, start, first_of_each=delimiter == "/")


def _walk(folder: Path, path: str, *, first_of_each: bool) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if _is_hidden(entry.name, path == ""):
            continue
        if entry.is_dir(follow_symlinks=False):
            below = _walk(folder / entry.name, f"{path}{entry.name}/", first_of_each=False)
            first = next(below, None) if first_of_each else None
            yield from below if not first_of_each else () if first is None else (first,)
        elif entry.is_file(follow_symlinks=False):
            yield path + entry.name


def _is_hidden(name: str, at_top: bool) -> bool:
    return (at_top and name.startswith(_NANIO_PREFIX)) or _PARTIAL_UPLOAD.fullmatch(name) is not None


def _document(storage: FilesystemStorage, bucket: str, listing: ListingRequest, found: Page, query: QueryParams) -> str:
    def text(value: str) -> str:
        return escape(quote(value, safe="/") if listing.url_encoded else value)

    parts: list[tuple[str, Any]] = [("Name", escape(bucket)), ("Prefix", text(listing.prefix))]
    if listing.delimiter:
        parts.append(("Delimiter", text(listing.delimiter)))
    if listing.url_encoded:
        parts.append(("EncodingType", "url"))
    parts += [("MaxKeys", listing.max_keys), ("IsTruncated", "false" if found.next_after is None else "true")]
    parts += _pagination(listing, found, query, text)
    for key in found.keys:
        parts += contents_of(storage, bucket, key, text(key))
    parts += [("CommonPrefixes", f"<Prefix>{text(each)}</Prefix>") for each in found.common_prefixes]
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in parts)
    return f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="{NAMESPACE}">{inside}</ListBucketResult>'


def _pagination(listing: ListingRequest, found: Page, query: QueryParams, text: Any) -> list[tuple[str, Any]]:
    """The fields of pagination."""
    if listing.version == 1:
        parts = [("Marker", text(listing.after))]
        return parts + ([("NextMarker", text(found.next_after))] if found.next_after and listing.delimiter else [])
    parts = [("KeyCount", len(found.keys) + len(found.common_prefixes))]
    if "continuation-token" in query:
        parts.append(("ContinuationToken", escape(query["continuation-token"])))
    if "start-after" in query:
        parts.append(("StartAfter", text(query["start-after"])))
    return parts + ([("NextContinuationToken", _encoded(found.next_after))] if found.next_after else [])


def contents_of(storage: FilesystemStorage, bucket: str, key: str, text: str) -> list[tuple[str, str]]:
    """The entry of an object; `text` is its key as the listing writes it. Nothing when it is gone."""
    try:
        info = _info(storage, bucket, key)
    except NoSuchKey:
        return []  # Deleted since the walk.
    modified = info.last_modified.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    inside = f"<Key>{text}</Key><LastModified>{modified}</LastModified><ETag>{escape(info.etag)}</ETag>"
    return [("Contents", f"{inside}<Size>{info.size}</Size><StorageClass>STANDARD</StorageClass>")]


def _info(storage: FilesystemStorage, bucket: str, key: str) -> Any:
    """Of a file that the walk has found. nanio's look-up, which resolves each path several times, takes much longer."""
    folder = storage.data_dir / bucket
    try:
        return read_metadata(folder / META_DIR_NAME / f"{key}.json", key)
    except (OSError, ValueError, KeyError):
        return storage.head_object(bucket, key)  # Without readable metadata, by the file itself.
    except TypeError:
        return info_of_file(folder / key, key)  # JSON, but no object: nanio's look-up fails.


def _encoded(entry: str) -> str:
    return base64.urlsafe_b64encode(entry.encode()).decode()


def _decoded(token: str) -> str:
    try:
        return base64.b64decode(token, altchars="-_", validate=True).decode()
    except (ValueError, binascii.Error) as error:
        raise InvalidArgument("the continuation-token was not issued by this server") from error
