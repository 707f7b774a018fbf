"""The documented S3 policies allow every request of gateway and runner, and nothing that only the other needs."""

import ast
import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from support.markdown import OPERATIONS, REPOSITORY, read

from darkroom_contract.storage import keys as storage

PAGE = read(OPERATIONS / "storage-access.md")
BUCKET = "arn:aws:s3:::darkroom"

ACTIONS = {
    "get_object": "s3:GetObject",
    "put_object": "s3:PutObject",
    "delete_object": "s3:DeleteObject",
    "delete_objects": "s3:DeleteObject",
    "head_object": "s3:GetObject",
    "head_bucket": "s3:ListBucket",
    "list_objects_v2": "s3:ListBucket",
}
"""The permission that each boto3 request needs. Source: AWS, "Required permissions for Amazon S3 API operations"."""
COMPONENTS = {"gateway": "darkroom_gateway", "runner": "darkroom_runner"}

PHOTO = storage.dataset_prefix("studio", "0123abcd") + "000.jpg"
UPLOAD = storage.dataset_prefix("studio", "upload-abcdefgh23456777") + "000-a.jpg"
START_PICTURE = storage.images_prefix("studio", "0123abcd") + "image.png"
RESULT = storage.run_prefix("a-uid") + storage.image_file("job", 0)
RECORD = storage.model_record_key("studio", "my-dog")
STEP_RECORD = storage.model_step_key("studio", "my-dog", "200")
SAVED_STEP = storage.saved_step_prefix("a-uid", "200") + storage.LORA_FILE
IMPORTED = storage.lora_prefix("studio", "import-abcdefgh23456777") + "film-grain.safetensors"
REMOVAL = storage.model_removal_key("studio", "my-dog")
NEEDED = {
    "gateway": [
        ("s3:PutObject", PHOTO),
        ("s3:DeleteObject", PHOTO),
        ("s3:PutObject", START_PICTURE),
        ("s3:DeleteObject", START_PICTURE),
        ("s3:GetObject", START_PICTURE),
        ("s3:GetObject", UPLOAD),
        ("s3:GetObject", RESULT),
        ("s3:GetObject", storage.run_log_key("a-uid", 1)),
        ("s3:GetObject", RECORD),
        ("s3:DeleteObject", RESULT),
        ("s3:DeleteObject", RECORD),
        ("s3:PutObject", RECORD),
        ("s3:GetObject", STEP_RECORD),
        ("s3:DeleteObject", STEP_RECORD),
        ("s3:GetObject", SAVED_STEP),
        ("s3:DeleteObject", SAVED_STEP),
        ("s3:PutObject", IMPORTED),
        ("s3:GetObject", IMPORTED),
        ("s3:DeleteObject", IMPORTED),
        ("s3:PutObject", REMOVAL),
        ("s3:GetObject", REMOVAL),
        ("s3:DeleteObject", REMOVAL),
    ],
    "runner": [
        ("s3:GetObject", PHOTO),
        ("s3:GetObject", START_PICTURE),
        ("s3:PutObject", RESULT),
        ("s3:GetObject", storage.run_prefix("a-uid") + storage.LORA_FILE),
        ("s3:GetObject", storage.manifest_key("a-uid")),
        ("s3:PutObject", storage.manifest_key("a-uid")),
        ("s3:PutObject", storage.run_log_key("a-uid", 1)),
        ("s3:PutObject", storage.checkpoint_state_key("a-uid", 10)),
        ("s3:DeleteObject", storage.checkpoint_state_key("a-uid", 10)),
        ("s3:DeleteObject", storage.checkpoint_record_key("a-uid")),
        ("s3:GetObject", RECORD),
        ("s3:PutObject", RECORD),
        ("s3:GetObject", STEP_RECORD),
        ("s3:PutObject", STEP_RECORD),
        ("s3:DeleteObject", STEP_RECORD),
        ("s3:PutObject", SAVED_STEP),
        ("s3:GetObject", SAVED_STEP),
        ("s3:PutObject", storage.sample_key("a-uid", storage.sample_file("job", 100, 0))),
        ("s3:GetObject", IMPORTED),
    ],
}
FORBIDDEN = {
    "gateway": [("s3:PutObject", RESULT), ("s3:PutObject", STEP_RECORD), ("s3:GetObject", PHOTO)],
    "runner": [
        ("s3:PutObject", PHOTO),
        ("s3:DeleteObject", PHOTO),
        ("s3:PutObject", START_PICTURE),
        ("s3:DeleteObject", START_PICTURE),
        ("s3:DeleteObject", RESULT),
        ("s3:DeleteObject", RECORD),
        ("s3:PutObject", IMPORTED),
        ("s3:DeleteObject", IMPORTED),
        ("s3:PutObject", REMOVAL),
    ],
}
OTHERS = (
    storage.images_prefix("lab", "0123abcd") + "image.png",
    storage.dataset_prefix("lab", "0123abcd") + "000.jpg",
    storage.model_record_key("lab", "my-dog"),
    storage.model_removal_key("lab", "x"),
    storage.lora_prefix("lab", "import-abcdefgh23456777") + "film-grain.safetensors",
)


def statements(component: str) -> list[dict[str, Any]]:
    section = PAGE.split(f"\n## The {component}\n", 1)[1].split("\n## ", 1)[0]
    [block] = re.findall(r"```json\n(.*?)```", section, re.DOTALL)
    found: list[dict[str, Any]] = json.loads(block)["Statement"]
    return found


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def allows(component: str, action: str, resource: str) -> bool:
    return any(
        each["Effect"] == "Allow"
        and action in listed(each["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in listed(each["Resource"]))
        for each in statements(component)
    )


def requests_of(package: Path) -> set[str]:
    """The operations called on S3 clients, by boto3's names."""
    found: set[str] = set()
    for path in package.rglob("*.py"):
        text = read(path)
        if "boto3" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                found.add(node.func.attr)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)  # As of `get_paginator("list_objects_v2")`.
    return found & set(ACTIONS)


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_request_of_the_code_is_covered(component: str) -> None:
    made = requests_of(REPOSITORY / component / COMPONENTS[component])
    assert {"get_object", "put_object", "list_objects_v2"} <= made
    asked = {ACTIONS[each] for each in made} - {"s3:ListBucket"}
    assert asked == {action for action, _ in NEEDED[component]}


@pytest.mark.parametrize("component", COMPONENTS)
def test_policy_allows_the_needed_requests(component: str) -> None:
    assert allows(component, "s3:ListBucket", BUCKET)
    refused = [each for each in NEEDED[component] if not allows(component, each[0], f"{BUCKET}/{each[1]}")]
    assert refused == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_policy_forbids_requests_that_only_the_other_needs(component: str) -> None:
    allowed = [each for each in FORBIDDEN[component] if allows(component, each[0], f"{BUCKET}/{each[1]}")]
    assert allowed == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_policy_is_limited_to_the_namespace_and_the_bucket(component: str) -> None:
    for action in set(ACTIONS.values()):
        for key in OTHERS:
            assert not allows(component, action, f"{BUCKET}/{key}")
        assert not allows(component, action, f"{BUCKET}-of-others/{PHOTO}")
        assert not allows(component, action, f"{BUCKET}-of-others")


@pytest.mark.parametrize("component", COMPONENTS)
def test_no_policy_has_a_wildcard_action(component: str) -> None:
    actions = {action for each in statements(component) for action in listed(each["Action"])}
    assert actions <= set(ACTIONS.values())
