"""Fields of pods as text, as tables."""

import pytest

from darkroom_local.node.pod_fields import UnsupportedFieldError, field_text, quantity, resource_text, variable_text

METADATA = {
    "name": "runner-1",
    "namespace": "studio",
    "uid": "7cadbac9",
    "labels": {"b": "2", "a": "1"},
    "annotations": {"darkroom.dev/run": '{"prompt":"a\\nb"}', "Odd": "[x]['y']"},
}
RESOURCES = {"limits": {"cpu": "1500m", "memory": "2Gi"}, "requests": {"memory": "1500M"}}
POD = {
    "metadata": METADATA,
    "spec": {
        "nodeName": "node-1",
        "containers": [{"name": "runner", "resources": RESOURCES}, {"name": "free"}],
        "initContainers": [{"name": "first", "resources": {"limits": {"cpu": 2}}}],
    },
}
NODE = {"cpu": "16", "memory": "64Ki"}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("metadata.name", "runner-1"),
        ("metadata.namespace", "studio"),
        ("metadata.uid", "7cadbac9"),
        ("metadata.labels['a']", "1"),
        ("metadata.labels['c']", ""),
        ("metadata.annotations['darkroom.dev/run']", '{"prompt":"a\\nb"}'),
        ("metadata.annotations['Odd']", "[x]['y']"),
        ("metadata.annotations['odd']", ""),
    ],
)
def test_volumes_and_variables_may_name_metadata(path, text):
    assert field_text(POD, path) == variable_text(POD, path) == text


def test_map_has_one_line_for_each_entry_in_order_of_keys():
    assert field_text(POD, "metadata.labels") == 'a="1"\nb="2"'


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("plain", '"plain"'),
        ('say "hi" \\ bye', r'"say \"hi\" \\ bye"'),
        ("a\nb\tc\rd", r'"a\nb\tc\rd"'),
        ("\a\b\f\v\0\x1f\x7f", r'"\a\b\f\v\x00\x1f\x7f"'),
        ("é 狗 🐕", '"é 狗 🐕"'),
        ("\u200b\u00a0", r'"\u200b\u00a0"'),
        ("\U000e0001", r'"\U000e0001"'),
        ("", '""'),
    ],
)
def test_maps_are_quoted_as_in_go(value, quoted):
    assert field_text({"metadata": {"annotations": {"k": value}}}, "metadata.annotations") == f"k={quoted}"


def test_a_pod_without_annotations_has_an_empty_map():
    assert field_text({"metadata": {}}, "metadata.annotations") == ""
    assert field_text({"metadata": {"annotations": None}}, "metadata.annotations['a']") == ""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("spec.nodeName", "node-1"),
        ("spec.serviceAccountName", "default"),
        ("status.hostIP", "127.0.0.1"),
        ("status.hostIPs", "127.0.0.1"),
    ],
)
def test_variables_may_name_fields_of_spec_and_status(path, text):
    assert variable_text(POD, path) == text
    with pytest.raises(UnsupportedFieldError, match="unsupported fieldPath"):
        field_text(POD, path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("metadata.labels", "field label not supported: metadata.labels"),
        ("metadata.annotations", "field label not supported: metadata.annotations"),
        ("status.podIP", "have no addresses"),
        ("metadata.generation", "unsupported fieldPath: metadata.generation"),
        ("spec.volumes['a']", 'fieldPath "spec.volumes" does not support subscript'),
        ("metadata.name['a']", 'fieldPath "metadata.name" does not support subscript'),
        ("", "unsupported fieldPath: "),
    ],
)
def test_other_fields_are_unsupported(path, message):
    with pytest.raises(UnsupportedFieldError) as raised:
        variable_text(POD, path)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("container", "resource", "divisor", "text"),
    [
        ("runner", "limits.cpu", "0", "2"),
        ("runner", "limits.cpu", "1m", "1500"),
        ("runner", "limits.memory", None, "2147483648"),
        ("runner", "limits.memory", "1Mi", "2048"),
        ("runner", "requests.memory", "1Gi", "2"),
        ("runner", "requests.cpu", "1m", "1500"),
        ("free", "limits.cpu", "1", "16"),
        ("free", "limits.memory", "1", "65536"),
        ("free", "requests.cpu", "1", "0"),
        ("first", "limits.cpu", "1", "2"),
    ],
)
def test_resources_are_counted_in_units_of_the_divisor(container, resource, divisor, text):
    reference = {"containerName": container, "resource": resource} | ({"divisor": divisor} if divisor else {})
    assert resource_text(POD, reference, "other", NODE) == text


def test_the_container_of_a_variable_is_its_own_by_default():
    assert resource_text(POD, {"resource": "limits.cpu"}, "free", NODE) == "16"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"containerName": "nobody", "resource": "limits.cpu"}, "container nobody not found"),
        ({"resource": "limits.gpu"}, "unsupported container resource : limits.gpu"),
        ({"resource": "cpu"}, "unsupported container resource : cpu"),
        ({}, "unsupported container resource : None"),
    ],
)
def test_unknown_resources_are_unsupported(reference, message):
    with pytest.raises(UnsupportedFieldError, match=message):
        resource_text(POD, reference, "runner", NODE)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        (2, 2),
        ("500m", 0.5),
        ("1k", 1000),
        ("1Ki", 1024),
        ("1.5Gi", 1.5 * 1024**3),
        ("1E", 1e18),
        ("1e3", 1000),
    ],
)
def test_quantities_are_read(text, value):
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "1K", "1 Gi", "Gi", "one", "1mi"])
def test_invalid_quantities_are_rejected(text):
    with pytest.raises(ValueError, match="is not a quantity"):
        quantity(text)
