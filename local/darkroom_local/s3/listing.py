"""Listings of the embedded S3 server, versions 1 and 2. Installed by s3.py, behind nanio's signatures.

nanio's own lose keys when they are continued (`a-b` beside `a/b`), repeat common prefixes, and know one delimiter only.
Here keys come in the order of their UTF-8 bytes, each once; what shares a prefix up to the delimiter is one entry. They
are read from nanio's folder: an object is a file at `<bucket>/<key>`.
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
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

MAX_KEYS = 1000
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

_UPLOAD_UNDER_WAY = re.compile(r"\.tmp\.[0-9a-f]{32}")
"""So nanio names a file that is not whole yet, beside its later place."""
_OF_NANIO = ".nanio"
"""At the top of a bucket."""


@dataclass(frozen=True)
class ListingRequest:
    """What a client asked for."""

    version: int
    prefix: str
    delimiter: str
    after: str
    """Entries up to and with this one were listed before, or are not wanted."""
    max_keys: int
    url_encoded: bool


@dataclass(frozen=True)
class Page:
    """Entries in order: keys, and common prefixes, which end with the delimiter."""

    keys: list[str]
    common_prefixes: list[str]
    next_after: str | None
    """The last entry, when there are more."""


def routes() -> list[Route]:
    """To be put in front of nanio's."""
    return [Route(path, _list_or_other, methods=["GET"]) for path in ("/{bucket}", "/{bucket}/")]


async def _list_or_other(request: Request) -> Response:
    query = request.query_params
    if request.method != "GET" or "location" in query or "uploads" in query:
        answer: Response = await dispatch_bucket(request)
        return answer
    storage: FilesystemStorage = request.app.state.storage
    bucket = request.path_params["bucket"]
    storage.head_bucket(bucket)
    question = parse_request(query)
    found = page(keys_below(storage.data_dir / bucket, question.prefix, question.delimiter), question)
    return Response(_document(storage, bucket, question, found, query), media_type="application/xml")


def parse_request(query: QueryParams) -> ListingRequest:
    """Raises nanio's `InvalidArgument`, which is answered with 400."""
    version = 2 if query.get("list-type") == "2" else 1
    token = query.get("continuation-token") if version == 2 else None
    after = query.get("start-after" if version == 2 else "marker", "")
    asked = query.get("max-keys", str(MAX_KEYS))
    if not re.fullmatch(r"[0-9]{1,10}", asked):
        raise InvalidArgument(f"max-keys is {asked!r}, which is no number from 0 on")
    if query.get("encoding-type", "url") != "url":
        raise InvalidArgument("the only encoding-type is url")
    return ListingRequest(
        version=version,
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        after=after if token is None else _decoded(token),
        max_keys=min(int(asked), MAX_KEYS),
        url_encoded="encoding-type" in query,
    )


def page(keys: Iterator[str], question: ListingRequest) -> Page:
    """The entries of the keys that come behind `after`, at most `max_keys`."""
    prefix, delimiter = question.prefix, question.delimiter
    entries = dict(_rolled_up(key, prefix, delimiter) for key in keys if key.startswith(prefix))
    wanted = sorted((each for each in entries if each.encode() > question.after.encode()), key=str.encode)
    told = wanted[: question.max_keys]
    return Page(
        keys=[each for each in told if entries[each]],
        common_prefixes=[each for each in told if not entries[each]],
        next_after=told[-1] if 0 < len(told) < len(wanted) else None,
    )


def _rolled_up(key: str, prefix: str, delimiter: str) -> tuple[str, bool]:
    """The key, or its beginning up to and with the first delimiter behind the prefix; and whether it is the key."""
    end = key.find(delimiter, len(prefix)) if delimiter else -1
    return (key, True) if end < 0 else (key[: end + len(delimiter)], False)


def keys_below(bucket_dir: Path, prefix: str, delimiter: str) -> Iterator[str]:
    """The keys that may begin with the prefix, in no order; of what a slash rolls up, one key stands for all."""
    *folders, _ = prefix.split("/")
    # No key has such a part, and no path may be made of one.
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
    return (at_top and name.startswith(_OF_NANIO)) or _UPLOAD_UNDER_WAY.fullmatch(name) is not None


def _document(
    storage: FilesystemStorage, bucket: str, question: ListingRequest, found: Page, query: QueryParams
) -> str:
    def text(value: str) -> str:
        return escape(quote(value, safe="/") if question.url_encoded else value)

    parts: list[tuple[str, Any]] = [("Name", escape(bucket)), ("Prefix", text(question.prefix))]
    if question.delimiter:
        parts.append(("Delimiter", text(question.delimiter)))
    if question.url_encoded:
        parts.append(("EncodingType", "url"))
    parts += [("MaxKeys", question.max_keys), ("IsTruncated", "false" if found.next_after is None else "true")]
    parts += _place(question, found, query, text)
    for key in found.keys:
        parts += _contents(storage, bucket, key, text(key))
    parts += [("CommonPrefixes", f"<Prefix>{text(each)}</Prefix>") for each in found.common_prefixes]
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in parts)
    return f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="{NAMESPACE}">{inside}</ListBucketResult>'


def _place(question: ListingRequest, found: Page, query: QueryParams, text: Any) -> list[tuple[str, Any]]:
    """Where this page begins, and where the next one does."""
    if question.version == 1:
        parts = [("Marker", text(question.after))]
        return parts + ([("NextMarker", text(found.next_after))] if found.next_after and question.delimiter else [])
    parts = [("KeyCount", len(found.keys) + len(found.common_prefixes))]
    if "continuation-token" in query:
        parts.append(("ContinuationToken", escape(query["continuation-token"])))
    if "start-after" in query:
        parts.append(("StartAfter", text(query["start-after"])))
    return parts + ([("NextContinuationToken", _encoded(found.next_after))] if found.next_after else [])


def _contents(storage: FilesystemStorage, bucket: str, key: str, text: str) -> list[tuple[str, str]]:
    try:
        info = storage.head_object(bucket, key)
    except NoSuchKey:
        return []  # It was deleted meanwhile.
    modified = info.last_modified.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    inside = f"<Key>{text}</Key><LastModified>{modified}</LastModified><ETag>{escape(info.etag)}</ETag>"
    return [("Contents", f"{inside}<Size>{info.size}</Size><StorageClass>STANDARD</StorageClass>")]


def _encoded(entry: str) -> str:
    return base64.urlsafe_b64encode(entry.encode()).decode()


def _decoded(token: str) -> str:
    try:
        return base64.b64decode(token, altchars="-_", validate=True).decode()
    except (ValueError, binascii.Error) as error:
        raise InvalidArgument("the continuation-token is none of this server's") from error
