"""Label and field selectors as pure functions."""

import pytest

from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.apimachinery.selectors import compile_selectors

DOCUMENT = {
    "metadata": {"name": "a", "namespace": "n", "labels": {"app": "x", "tier": "1", "x.dev/role": "slot"}},
    "spec": {"nodeName": "node-1", "flag": True},
}
FIELDS = frozenset({"spec.nodeName", "spec.flag", "status.phase"})


@pytest.mark.parametrize(
    ("labels", "matches"),
    [
        ("", True),
        ("app=x", True),
        ("app == x", True),
        ("app=y", False),
        ("app!=y", True),
        ("missing!=y", True),
        ("missing=", False),
        ("app", True),
        ("!app", False),
        ("!missing", True),
        ("app in (x,y)", True),
        ("app in (y, z)", False),
        ("app notin (y)", True),
        ("missing notin (y)", True),
        ("app in (x),tier=1,x.dev/role", True),
        ("app in (x),tier=2", False),
    ],
)
def test_label_selector(labels: str, matches: bool) -> None:
    assert compile_selectors(labels, "", FIELDS)(DOCUMENT) is matches


@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ("metadata.name=a", True),
        ("metadata.name!=a", False),
        ("metadata.namespace=n,spec.nodeName=node-1", True),
        ("spec.flag=true", True),
        ("status.phase=", True),
        ("status.phase!=Running", True),
        ("spec.nodeName=", False),
    ],
)
def test_field_selector(fields: str, matches: bool) -> None:
    assert compile_selectors("", fields, FIELDS)(DOCUMENT) is matches


@pytest.mark.parametrize(
    ("labels", "fields"),
    [("a=(b", ""), ("a in b", ""), ("in (a)", ""), ("a b", ""), ("=", ""), ("", "spec.other=1"), ("", "metadata.name")],
)
def test_invalid_selectors_are_rejected(labels: str, fields: str) -> None:
    with pytest.raises(StatusError) as error:
        compile_selectors(labels, fields, FIELDS)
    assert error.value.code == 400
