"""Resource paths, and boolean query parameters."""

import pytest

from darkroom_local.apiserver.apimachinery.api_paths import ApiPath, boolean_parameter, parse_api_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", ApiPath("", "v1", "", ["pods"])),
        ("/api/v1/namespaces/n/pods/p/log", ApiPath("", "v1", "n", ["pods", "p", "log"])),
        ("/apis/g.io/v1/namespaces/n/things", ApiPath("g.io", "v1", "n", ["things"])),
        ("/api/v1/namespaces/n", ApiPath("", "v1", "", ["namespaces", "n"])),
        ("/api/v1/namespaces/n/status", ApiPath("", "v1", "", ["namespaces", "n", "status"])),
        ("/api/v1/namespaces/n/finalize", ApiPath("", "v1", "", ["namespaces", "n", "finalize"])),
        ("/api/v1", None),
        ("/apis/g.io/v1", None),
        ("/version", None),
        ("/", None),
    ],
)
def test_parse_api_path(path: str, expected: ApiPath | None) -> None:
    assert parse_api_path(path) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [({}, False), ({"watch": "false"}, False), ({"watch": "0"}, False), ({"watch": ""}, True), ({"watch": "1"}, True)],
)
def test_boolean_parameter(query: dict[str, str], expected: bool) -> None:
    assert boolean_parameter(query, "watch") is expected
