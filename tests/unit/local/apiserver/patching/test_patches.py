"""The patch types as pure functions."""

from typing import Any

import pytest

from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.patching.patches import JSON, MERGE, STRATEGIC, apply_patch, merge, strategic
from darkroom_local.apiserver.resources.registry import Registry
from darkroom_local.apiserver.resources.resource import Resource

PODS = Registry().find("", "v1", "pods")
CUSTOM = Resource("x.dev", "v1", "things", "Thing", True, custom=object())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7386, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_rfc_7386(target: Any, patch: Any, result: Any) -> None:
    assert merge(target, patch) == result


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": None}}, {"a": {"y": 2}}),
        ({"args": ["a", "b"]}, {"args": ["c"]}, {"args": ["c"]}),
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
        ),
        (
            {"env": [{"name": "A"}, {"name": "B"}]},
            {"env": [{"name": "A", "$patch": "delete"}]},
            {"env": [{"name": "B"}]},
        ),
        ({"env": [{"name": "A"}]}, {"env": [{"$patch": "replace"}, {"name": "Z"}]}, {"env": [{"name": "Z"}]}),
        ({"a": {"x": 1}}, {"a": {"$patch": "replace", "y": 2}}, {"a": {"y": 2}}),
        ({"a": {"x": 1}, "b": 1}, {"a": {"$patch": "delete"}}, {"b": 1}),
        ({"finalizers": ["a"]}, {"finalizers": ["b", "a"]}, {"finalizers": ["a", "b"]}),
        ({"finalizers": ["a", "b"]}, {"$deleteFromPrimitiveList/finalizers": ["a"]}, {"finalizers": ["b"]}),
        ({"env": [{"name": "A"}]}, {"$setElementOrder/env": [{"name": "A"}]}, {"env": [{"name": "A"}]}),
        (
            {"ports": [{"containerPort": 1, "name": "x"}]},
            {"ports": [{"containerPort": 1, "protocol": "UDP"}]},
            {"ports": [{"containerPort": 1, "name": "x", "protocol": "UDP"}]},
        ),
        (
            {"ports": [{"port": 80, "name": "x"}]},
            {"ports": [{"port": 80, "nodePort": 3}]},
            {"ports": [{"port": 80, "name": "x", "nodePort": 3}]},
        ),
        ({"containers": "odd"}, {"containers": [{"name": "a"}]}, {"containers": [{"name": "a"}]}),
        ({"containers": [{"name": "a"}]}, {"containers": ["odd"]}, {"containers": ["odd"]}),
    ],
)
def test_strategic_patch_merges_lists_by_key(target: Any, patch: Any, result: Any) -> None:
    assert strategic(target, patch) == result


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ([{"op": "test", "path": "/a", "value": 2}], 422),
        ([{"op": "remove", "path": "/nothing"}], 422),
        ([{"op": "replace", "path": "/nothing/deep", "value": 1}], 422),
        ([{"op": "dance", "path": "/a"}], 400),
        ([{"path": "/a"}], 400),
        ("text", 400),
        ([1], 400),
        ({"op": "add"}, 400),
        ([{"op": "replace", "path": "", "value": 5}], 400),
    ],
)
def test_json_patch_that_does_not_apply_is_rejected(patch: Any, code: int) -> None:
    with pytest.raises(StatusError) as error:
        apply_patch(JSON, {"a": 1}, patch, CUSTOM)
    assert error.value.code == code


@pytest.mark.parametrize("kind", [MERGE, STRATEGIC])
def test_merge_patch_must_be_an_object(kind: str) -> None:
    assert PODS is not None
    with pytest.raises(StatusError) as error:
        apply_patch(kind, {}, [1], PODS)
    assert error.value.code == 400


@pytest.mark.parametrize("kind", ["", "application/json", "text/plain"])
def test_unknown_content_type_is_rejected_with_the_supported_ones(kind: str) -> None:
    with pytest.raises(StatusError, match=r"application/merge-patch\+json") as error:
        apply_patch(kind, {}, {}, CUSTOM)
    assert error.value.code == 415
