"""CustomResourceDefinitions: established, enforced by their rules, and deleted with their objects."""

from collections.abc import Iterator

import pytest
from support.kube_api import Api, Json, ok, refused, wait_until

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture
def widgets(api: Api, name: str) -> Iterator[Json]:
    """A definition for this test, with more types of rules than the jobs' definitions have."""
    plural, group = "widgets", f"{name}.conformance.darkroom.dev"
    properties = {
        "low": {"type": "integer"},
        "high": {"type": "integer"},
        "note": {"type": "string", "nullable": True},
        "tags": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 20}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "counts": {"type": "object", "maxProperties": 5, "additionalProperties": {"type": "integer"}},
    }
    rules = [
        {"rule": "!has(self.high) || self.low <= self.high", "message": "low must not be above high"},
        {
            "rule": "!has(self.tags) || self.tags.all(t, t.startsWith('a'))",
            "messageExpression": "'tags must begin with a, as the last does not: ' + self.tags[size(self.tags) - 1]",
        },
    ]
    spec = {"type": "object", "properties": properties, "x-kubernetes-validations": rules}
    schema = {"type": "object", "properties": {"spec": spec}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": "Widget"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    ok(api.http.post(CRDS, json=definition), 201)
    wait_until(lambda: api.get(f"{plural}.{group}/v1").status_code == 200, "widgets are served")
    yield definition
    api.http.delete(f"{CRDS}/{plural}.{group}")


def kind_of(definition: Json) -> str:
    return f"widgets.{definition['spec']['group']}/v1"


def widget(definition: Json, name: str, **spec: object) -> Json:
    group_version = f"{definition['spec']['group']}/v1"
    return {"apiVersion": group_version, "kind": "Widget", "metadata": {"name": name}, "spec": spec}


def test_definition_is_established_with_default_names(api: Api, widgets: Json) -> None:
    path = f"{CRDS}/{widgets['metadata']['name']}"
    found = ok(api.http.get(path))
    conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert found["status"]["acceptedNames"]["singular"] == "widget"
    assert found["spec"]["names"]["listKind"] == "WidgetList"
    assert found["status"]["storedVersions"] == ["v1"]


def test_rules_over_several_fields_and_lists_are_enforced(api: Api, name: str, widgets: Json) -> None:
    kind = kind_of(widgets)
    api.made(kind, widget(widgets, name, low=1, high=2, tags=["ab", "ac"]))
    assert "low must not be above high" in refused(api.create(kind, widget(widgets, f"{name}-2", low=3, high=2)), 422)
    message = refused(api.create(kind, widget(widgets, f"{name}-3", low=1, tags=["ab", "x"])), 422)
    assert "tags must begin with a, as the last does not: x" in message


def test_preserved_nullable_and_map_fields(api: Api, name: str, widgets: Json) -> None:
    given = {"low": 1, "note": None, "free": {"a": {"b": [1, "x"]}}, "counts": {"any": 3}}
    made = api.made(kind_of(widgets), widget(widgets, name, **given))
    assert made["spec"]["free"] == given["free"]
    assert made["spec"]["counts"] == {"any": 3}
    assert made["spec"]["note"] is None


def test_kind_without_a_status_subresource_has_no_status_path(api: Api, name: str, widgets: Json) -> None:
    api.made(kind_of(widgets), widget(widgets, name, low=1))
    assert api.patch(kind_of(widgets), name, {"spec": {"low": 2}}, subresource="status").status_code == 404


def test_deleting_a_definition_deletes_its_objects(api: Api, name: str, widgets: Json) -> None:
    kind = kind_of(widgets)
    api.made(kind, widget(widgets, name, low=1))
    ok(api.http.delete(f"{CRDS}/{widgets['metadata']['name']}"))
    wait_until(lambda: api.get(kind).status_code == 404, "widgets are no longer served")
    wait_until(
        lambda: api.http.get(f"{CRDS}/{widgets['metadata']['name']}").status_code == 404, "the definition is deleted"
    )


def test_definition_with_an_invalid_rule_is_rejected(api: Api, name: str, widgets: Json) -> None:
    broken = {**widgets, "metadata": {"name": f"gadgets.{widgets['spec']['group']}"}}
    schema = {"type": "object", "x-kubernetes-validations": [{"rule": "self.(", "message": "no"}]}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "gadgets", "kind": "Gadget"}
    broken["spec"] = {**widgets["spec"], "names": names, "versions": [version]}
    refused(api.http.post(CRDS, json=broken), 422, "Invalid")
