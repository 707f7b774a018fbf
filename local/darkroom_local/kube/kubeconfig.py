"""Reads and writes kubeconfig files. Used by the cluster and the node.

Supports tokens, token files, client certificates and certificate authorities. Rejects credential plugins (`exec`,
`auth-provider`): Darkroom runs no program that a file names.
"""

import base64
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from darkroom_local.errors import KubeconfigInvalidError
from darkroom_local.plain_http import NO_CERTIFICATES

CONTEXT = "darkroom"
PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""Fields of clusters and users that hold file paths."""


@dataclass(frozen=True)
class Connection:
    """Address and credentials of one API server."""

    server: str
    namespace: str
    token: str | None
    verify: ssl.SSLContext | bool


def write_kubeconfig(server: str, token: str, namespace: str) -> str:
    """A kubeconfig with one context, `darkroom`, for the embedded API server at `http://host:port`.

    The URL path holds the token too: kubectl and Helm send no Authorization header without TLS.
    """
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": {"server": f"{server}/{token}"}}],
        "users": [{"name": CONTEXT, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": namespace}}],
        "current-context": CONTEXT,
    }
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def read_kubeconfig(path: Path) -> Connection:
    """The connection of the current context. Raises `KubeconfigInvalidError`."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        context = _named(document, "contexts", document["current-context"])["context"]
        cluster = _named(document, "clusters", context["cluster"])["cluster"]
        user = _named(document, "users", context["user"]).get("user") or {}
        return Connection(
            server=cluster["server"].rstrip("/"),
            namespace=context.get("namespace") or "default",
            token=_token(user, path.parent),
            verify=_verification(cluster, user, path.parent),
        )
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else repr(error)
        raise KubeconfigInvalidError(f"{path} can't be used as a kubeconfig: {reason}") from error


def pinned_kubeconfig(path: Path, namespace: str) -> str:
    """A copy with only the current context, set to a namespace. Raises `KubeconfigInvalidError`.

    A running cluster reads the copy, so `kubectl config use-context` does not affect it.
    """
    read_kubeconfig(path)  # Validates it.
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    context = _named(document, "contexts", document["current-context"])
    cluster = _named(document, "clusters", context["context"]["cluster"])
    user = _named(document, "users", context["context"]["user"])
    pinned = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster | {"cluster": _absolute(cluster["cluster"], path.parent)}],
        "users": [user | {"user": _absolute(user.get("user") or {}, path.parent)}],
        "contexts": [context | {"context": context["context"] | {"namespace": namespace}}],
        "current-context": context["name"],
    }
    text: str = yaml.safe_dump(pinned, sort_keys=False)
    return text


def _absolute(section: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Relative paths in a kubeconfig start at the folder of the file."""
    paths = {name: str((folder / section[name]).absolute()) for name in PATHS if name in section}
    return section | paths


def _named(document: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    for each in document[section]:
        if each["name"] == name:
            return dict(each)
    raise KeyError(f"{section} has no entry named {name}")


def _token(user: dict[str, Any], folder: Path) -> str | None:
    for plugin in ("exec", "auth-provider"):
        if plugin in user:
            raise ValueError(f"users with {plugin} are not supported: use a token or a client certificate")
    if "tokenFile" in user:
        return (folder / str(user["tokenFile"])).read_text(encoding="utf-8").strip()
    token: str | None = user.get("token")
    return token


def _verification(cluster: dict[str, Any], user: dict[str, Any], folder: Path) -> ssl.SSLContext:
    if not cluster["server"].startswith("https://"):
        return NO_CERTIFICATES
    authority = _content(cluster, "certificate-authority", folder)
    context = ssl.create_default_context(cadata=authority)
    # Python 3.13 refuses authorities without a key identifier, which clusters commonly have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = _content(user, "client-certificate", folder), _content(user, "client-key", folder)
    if certificate and key:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:  # ssl reads files only.
            pem.write(certificate + "\n" + key)
            pem.flush()
            context.load_cert_chain(pem.name)
    return context


def _content(section: dict[str, Any], name: str, folder: Path) -> str | None:
    """The text of a certificate or key, given inline in base64 or as a path."""
    if f"{name}-data" in section:
        return base64.b64decode(str(section[f"{name}-data"]), validate=True).decode()
    if name in section:
        return (folder / str(section[name])).read_text(encoding="utf-8")
    return None
