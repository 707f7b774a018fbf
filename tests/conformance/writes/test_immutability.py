"""Immutable fields of built-in kinds, on which upgrades of charts fail."""

from typing import Any

import pytest
from support.kube_api import Api, Json, ok, refused

DEPLOYMENTS = "deployments.apps/v1"


def a_deployment(name: str, labels: Json | None = None) -> Json:
    container = {"name": "main", "image": "registry.invalid/none:1"}
    template = {"metadata": {"labels": labels or {"app": name}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def a_claim(name: str) -> Json:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": name}, "spec": spec}


def test_deployment_selector_is_immutable_and_matches_its_template(api: Api, name: str) -> None:
    message = refused(api.create(DEPLOYMENTS, a_deployment(name, labels={"app": "other"})), 422, "Invalid")
    assert "`selector` does not match template `labels`" in message
    api.made(DEPLOYMENTS, a_deployment(name))
    labels = {"app": name, "tier": "web"}
    changed = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}
    message = refused(api.patch(DEPLOYMENTS, name, {"spec": changed}), 422, "Invalid")
    assert "spec.selector: Invalid value" in message
    assert "field is immutable" in message


@pytest.mark.parametrize(
    ("plural", "content", "change", "words"),
    [
        ("secrets", {"stringData": {"a": "1"}}, {"type": "kubernetes.io/tls"}, "field is immutable"),
        ("configmaps", {"data": {"a": "1"}, "immutable": True}, {"data": {"a": "2"}}, "field is immutable when"),
        ("secrets", {"stringData": {"a": "1"}, "immutable": True}, {"data": {"a": "Mg=="}}, "field is immutable when"),
    ],
)
def test_immutable_fields(api: Api, name: str, plural: str, content: Json, change: Any, words: str) -> None:
    api.made(plural, {"metadata": {"name": name}, **content})
    assert words in refused(api.patch(plural, name, change), 422, "Invalid")
    ok(api.patch(plural, name, {"metadata": {"labels": {"a": "b"}}}))


def test_persistent_volume_claim_spec_is_immutable(api: Api, name: str) -> None:
    api.made("persistentvolumeclaims", a_claim(name))
    patch = {"spec": {"accessModes": ["ReadWriteMany"]}}
    assert "spec is immutable after creation" in refused(
        api.patch("persistentvolumeclaims", name, patch), 422, "Invalid"
    )
