"""How the API server is found."""

from pathlib import Path

import pytest
import yaml

from darkroom_local.kube.kubeconfig import write_kubeconfig
from darkroom_operator.errors import LoginError
from darkroom_operator.kube.connection import find_connection


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hides the kubeconfig of the user who runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)


def test_kubeconfig_sets_server_and_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(write_kubeconfig("http://127.0.0.1:1", "secret", "default"))
    monkeypatch.setenv("KUBECONFIG", str(path))
    found = find_connection()
    assert found.server == "http://127.0.0.1:1/secret"
    assert found.as_http_headers() == {"Authorization": "Bearer secret"}


def test_the_file_is_read_at_every_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    monkeypatch.setenv("KUBECONFIG", str(path))
    for token in ("first", "second"):
        path.write_text(write_kubeconfig("http://127.0.0.1:1", token, "default"))
        assert find_connection().as_http_headers() == {"Authorization": f"Bearer {token}"}


def test_without_any_configuration_the_error_says_what_to_set() -> None:
    with pytest.raises(LoginError, match="set KUBECONFIG"):
        find_connection()


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "no yaml: [", yaml.safe_dump({"current-context": "x", "contexts": [], "clusters": [], "users": []})],
    ids=["half", "a list", "invalid", "no such context"],
)
def test_an_invalid_file_is_reported(content: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(LoginError):
        find_connection()


def test_a_missing_file_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere.yaml"))
    with pytest.raises(LoginError):
        find_connection()
