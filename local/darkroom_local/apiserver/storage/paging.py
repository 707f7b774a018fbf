"""Lists in pages: `limit` and `continue`. Pure; called by `routes.py`.

A continue token names the revision of the first page and the last object that was sent, so that all pages show the
same moment. The store works a past state out from its recent events, and remembers the last few that it was asked for.
"""

import base64
import binascii
import json
from bisect import bisect_right
from dataclasses import dataclass

from darkroom_local.apiserver.apimachinery.errors import bad_request
from darkroom_local.apiserver.apimachinery.unstructured import Json

Key = tuple[str, str]


@dataclass(frozen=True)
class ContinueToken:
    """Where a list is to be continued."""

    revision: int
    after: Key


@dataclass(frozen=True)
class Page:
    """Some of a list's objects, and how many come after them."""

    items: list[Json]
    token: str
    """Empty on the last page."""
    remaining: int


def read_token(token: str) -> ContinueToken:
    """Raises 400 for what isn't a token of ours."""
    try:
        revision, namespace, name = json.loads(base64.urlsafe_b64decode(token))
        return ContinueToken(int(revision), (str(namespace), str(name)))
    except (ValueError, TypeError, binascii.Error) as error:
        raise bad_request("continue key is not valid") from error


def cut_page(documents: list[Json], limit: int, revision: int, after: Key | None) -> Page:
    """The page that follows `after` of a list sorted by namespace and name; everything when `limit` is 0."""
    left = documents if after is None else documents[bisect_right(documents, after, key=key_of) :]
    if not limit or len(left) <= limit:
        return Page(left, "", 0)
    items = left[:limit]
    content = json.dumps([revision, *key_of(items[-1])]).encode()
    return Page(items, base64.urlsafe_b64encode(content).decode(), len(left) - limit)


def key_of(document: Json) -> Key:
    metadata = document["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
