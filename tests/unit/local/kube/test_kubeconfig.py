"""Kubeconfig files: supported and rejected features."""

import base64
import ssl

import pytest
import yaml

from darkroom_local.errors import KubeconfigInvalidError
from darkroom_local.kube.kubeconfig import pinned_kubeconfig, read_kubeconfig, write_kubeconfig


@pytest.fixture
def kubeconfig(tmp_path):
    def write(user, cluster=None, context=None):
        document = {
            "clusters": [{"name": "c", "cluster": {"server": "http://10.0.0.1:6443/"} | (cluster or {})}],
            "users": [{"name": "other", "user": {}}, {"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"} | (context or {})}],
            "current-context": "x",
        }
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(document))
        return path

    return write


def test_a_written_kubeconfig_is_read_back(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(write_kubeconfig("http://127.0.0.1:1234", "secret", "photos"))

    connection = read_kubeconfig(path)

    assert connection.server.startswith("http://127.0.0.1:1234")
    assert (connection.token, connection.namespace) == ("secret", "photos")


def test_the_namespace_is_default_when_the_context_has_none(kubeconfig):
    connection = read_kubeconfig(kubeconfig({"token": "t"}))

    assert (connection.server, connection.namespace) == ("http://10.0.0.1:6443", "default")


def test_a_token_may_be_in_a_file_beside_the_kubeconfig(kubeconfig, tmp_path):
    (tmp_path / "token").write_text("from the file\n")

    assert read_kubeconfig(kubeconfig({"tokenFile": "token"})).token == "from the file"


def test_tls_is_verified_unless_disabled(kubeconfig):
    strict = read_kubeconfig(kubeconfig({"token": "t"}, {"server": "https://10.0.0.1"}))
    lax = read_kubeconfig(kubeconfig({"token": "t"}, {"server": "https://10.0.0.1", "insecure-skip-tls-verify": True}))

    assert (strict.verify.verify_mode, strict.verify.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert lax.verify.verify_mode == ssl.CERT_NONE


@pytest.mark.parametrize(
    ("user", "cluster", "message"),
    [
        ({"exec": {"command": "aws"}}, {}, "users with exec are not supported"),
        ({"auth-provider": {"name": "gcp"}}, {}, "users with auth-provider are not supported"),
        ({"tokenFile": "nowhere"}, {}, "No such file"),
        ({}, {"server": "https://x", "certificate-authority-data": "!"}, "can't be used as a kubeconfig"),
        (
            {"client-certificate-data": base64.b64encode(b"no pem").decode(), "client-key-data": ""},
            {"server": "https://x", "certificate-authority": "missing.crt"},
            "No such file",
        ),
    ],
)
def test_an_unsupported_kubeconfig_is_rejected_with_the_reason(kubeconfig, user, cluster, message):
    with pytest.raises(KubeconfigInvalidError, match=message):
        read_kubeconfig(kubeconfig(user, cluster))


@pytest.mark.parametrize("content", ["", "a: [", "[]", "current-context: x\ncontexts: []\n"])
def test_an_invalid_file_is_named(tmp_path, content):
    path = tmp_path / "config"
    path.write_text(content)

    with pytest.raises(KubeconfigInvalidError, match=str(path)):
        read_kubeconfig(path)


def test_a_pinned_kubeconfig_has_only_the_current_context_and_the_namespace(kubeconfig, tmp_path):
    (tmp_path / "token").write_text("from the file")
    given = kubeconfig({"tokenFile": "token"}, {"insecure-skip-tls-verify": True}, {"namespace": "theirs"})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    pinned = elsewhere / "kubeconfig"

    pinned.write_text(pinned_kubeconfig(given, "ours"))

    connection = read_kubeconfig(pinned)
    assert (connection.server, connection.namespace, connection.token) == (
        "http://10.0.0.1:6443",
        "ours",
        "from the file",
    )
    document = yaml.safe_load(pinned.read_text())
    assert [user["name"] for user in document["users"]] == ["u"]
    assert document["clusters"][0]["cluster"]["insecure-skip-tls-verify"] is True
