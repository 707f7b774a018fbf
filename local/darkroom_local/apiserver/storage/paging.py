"""Paged lists: `limit` and `continue`. Pure.

A continue token contains the revision of the first page and the last object sent, so that all pages show one moment.
The store derives a past state from its recent events and caches the last few.
"""

import base64
import binascii
import json
from bisect import bisect_right
from dataclasses import dataclass

from darkroom_local.apiserver.apimachinery.errors import bad_request
from darkroom_local.apiserver.apimachinery.unstructured import Json, Key, key_of


@dataclass(frozen=True)
class ContinueToken:
    """The position at which a list continues."""

    revision: int
    after: Key


@dataclass(frozen=True)
class Page:
    """One page of a list."""

    items: list[Json]
    token: str
    """Empty on the last page."""
    remaining: int
    """Objects after this page."""


def read_token(token: str) -> ContinueToken:
    """Raises 400 for an invalid token."""
    try:
        revision, namespace, name = json.loads(base64.urlsafe_b64decode(token))
        return ContinueToken(int(revision), (str(namespace), str(name)))
    except (ValueError, TypeError, binascii.Error) as error:
        raise bad_request("continue key is not valid") from error


def cut_page(documents: list[Json], limit: int, revision: int, after: Key | None) -> Page:
    """The page after `after`, of a list sorted by namespace and name; without a `limit` all the rest."""
    left = documents if after is None else documents[bisect_right(documents, after, key=key_of) :]
    if not limit or len(left) <= limit:
        return Page(left, "", 0)
    items = left[:limit]
    content = json.dumps([revision, *key_of(items[-1])]).encode()
    return Page(items, base64.urlsafe_b64encode(content).decode(), len(left) - limit)
