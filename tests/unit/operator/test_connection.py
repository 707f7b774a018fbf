"""How the API server is found."""

from pathlib import Path

import pytest
import yaml

from darkroom_local.kube.kubeconfig import write_kubeconfig
from darkroom_operator.connection import find_connection
from darkroom_operator.errors import LoginError


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No kubeconfig of whoever runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)


def test_kubeconfig_names_server_and_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(write_kubeconfig("http://127.0.0.1:1", "secret", "default"))
    monkeypatch.setenv("KUBECONFIG", str(path))
    found = find_connection()
    assert found.server == "http://127.0.0.1:1/secret"
    assert found.as_http_headers() == {"Authorization": "Bearer secret"}


def test_it_is_read_anew_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    monkeypatch.setenv("KUBECONFIG", str(path))
    for token in ("first", "second"):
        path.write_text(write_kubeconfig("http://127.0.0.1:1", token, "default"))
        assert find_connection().as_http_headers() == {"Authorization": f"Bearer {token}"}


def test_without_any_way_it_says_what_to_set() -> None:
    with pytest.raises(LoginError, match="set KUBECONFIG"):
        find_connection()


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "no yaml: [", yaml.safe_dump({"current-context": "x", "contexts": [], "clusters": [], "users": []})],
    ids=["half", "a list", "broken", "no such context"],
)
def test_a_file_that_can_t_be_used_is_told(content: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(LoginError):
        find_connection()


def test_a_file_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere.yaml"))
    with pytest.raises(LoginError):
        find_connection()
