"""The custom resource definitions, generated from the pydantic models.

`python -m darkroom_contract.crd.definitions FOLDER ...` writes them (`make generate`): to crds/ for kubectl, and into
the chart. A test fails when the committed files differ.

pydantic emits JSON Schema; Kubernetes accepts its structural subset (no references, no `anyOf` with
null, no `default: null`). `structural` translates one into the other.
Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from darkroom_contract.crd.bounds import with_bounds_described
from darkroom_contract.jobs import SPEC_MODELS
from darkroom_contract.names import API_VERSION, CATEGORY, GROUP, MAX_JOB_NAME_LENGTH, VERSION, Kind
from darkroom_contract.specs.images import MAX_IMAGES
from darkroom_contract.specs.job import MUTABLE_FIELDS, NOT_BLANK, JobSpec
from darkroom_contract.status import JobStatus

Json = dict[str, Any]

_ONE_AT_A_TIME = "One job of a namespace runs at a time; the others wait in a queue, by priority and age."

CONTRADICTORY_GUIDANCE: Json = {
    # Only at creation (a stored job soon has a status, and these fields are immutable), so that a job that an older
    # release accepted can still be updated and failed with a reason.
    "rule": "has(self.status) || !self.spec.allowMotion || self.spec.video.minGuidanceScale <= 1.0 || "
    "self.spec.video.maxGuidanceScale > 1.0",
    "message": "spec.video.maxGuidanceScale turns guidance off for the whole clip (at 1 and below), while "
    "spec.video.minGuidanceScale asks for it: raise the former above 1 or lower the latter to 1",
    "fieldPath": ".spec.video.minGuidanceScale",
}
"""As `GenerateJobSpec.contradiction`."""

ONE_LORA_SOURCE: Json = {
    "rule": "has(self.status) || self.spec.loras.all(each, has(each.modelId) != has(each.uri))",
    "message": "each of spec.loras needs exactly one of modelId and uri",
    "fieldPath": ".spec.loras",
}
SHORT_FORM_ALONE: Json = {
    "rule": "has(self.status) || !has(self.spec.modelId) || size(self.spec.loras) == 0",
    "message": "spec.modelId is the short form of spec.loras: set only one of the two",
    "fieldPath": ".spec.modelId",
}
ONE_INITIAL_LORA: Json = {
    "rule": "has(self.status) || !has(self.spec.training.initialLora) || "
    "has(self.spec.training.initialLora.modelId) != has(self.spec.training.initialLora.uri)",
    "message": "spec.training.initialLora needs exactly one of modelId and uri",
    "fieldPath": ".spec.training.initialLora",
}

NOTHING_TO_MAKE: Json = {
    "rule": "has(self.status) || self.spec.images.count > 0 || (self.spec.allowMotion && "
    "has(self.spec.video.startImage))",
    "message": f"spec.images.count is 0: use 1 to {MAX_IMAGES}, or set allowMotion and video.startImage to make a clip",
    "fieldPath": ".spec.images.count",
}
MASK_NEEDS_START_IMAGE: Json = {
    "rule": "has(self.status) || !has(self.spec.mask) || has(self.spec.startImage)",
    "message": "spec.mask needs spec.startImage, the picture that is painted on",
    "fieldPath": ".spec.mask",
}

RULES: dict[Kind, list[Json]] = {
    Kind.TRAIN: [ONE_INITIAL_LORA],
    Kind.GENERATE: [
        CONTRADICTORY_GUIDANCE,
        ONE_LORA_SOURCE,
        SHORT_FORM_ALONE,
        NOTHING_TO_MAKE,
        MASK_NEEDS_START_IMAGE,
    ],
}
"""Rules on the whole object, in addition to the one on its name."""

DESCRIPTIONS = {
    Kind.TRAIN: "Trains an SDXL DreamBooth LoRA on a handful of photos, and stores it under spec.modelId for "
    f"GenerateJobs. {_ONE_AT_A_TIME}",
    Kind.GENERATE: "Generates images from a prompt, with a LoRA when spec.modelId is set, and a short video when "
    f"spec.allowMotion is set. {_ONE_AT_A_TIME}",
}

_DROPPED = frozenset({"title", "$defs", "const", "additionalProperties"})

_SHARED_COLUMNS: tuple[tuple[str, str, str, str], ...] = (
    ("Phase", "string", ".status.phase", "State of the job."),
    ("Position", "integer", ".status.queue.position", "Number of jobs before it in the queue."),
    ("Starts", "string", ".status.queue.estimatedStartTime", "Estimated time of admission."),
    ("Progress", "number", ".status.progress.progressPercentage", "Percent of the current run."),
    ("ETA", "number", ".status.progress.estimatedRemainingSeconds", "Seconds until the end of the run."),
    ("Model", "string", ".spec.modelId", "The LoRA that is trained or used."),
    ("Age", "date", ".metadata.creationTimestamp", "Time since the job was created."),
)


def structural(schema: Json, definitions: Json) -> Json:
    """A JSON Schema of pydantic's as a structural schema, references resolved."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].removeprefix("#/$defs/")]
        return structural({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions)
    if "anyOf" in schema:
        return structural(_without_null(schema), definitions)
    result = {key: value for key, value in schema.items() if key not in _DROPPED}
    if result.get("default", ...) is None:
        del result["default"]
    if "properties" in result:
        result["properties"] = {name: structural(each, definitions) for name, each in result["properties"].items()}
    if result.get("pattern") == NOT_BLANK:
        # The error of a pattern shows its regular expression; that of a rule says what is wrong.
        del result["pattern"]
        result["x-kubernetes-validations"] = [{"rule": f"self.matches(r'{NOT_BLANK}')", "message": "must not be blank"}]
    if "items" in result:
        result["items"] = structural(result["items"], definitions)
    if isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = structural(schema["additionalProperties"], definitions)
    return result


def _without_null(schema: Json) -> Json:
    """`X | None` as an optional X."""
    branches = [branch for branch in schema["anyOf"] if branch.get("type") != "null"]
    if len(branches) != 1:
        raise ValueError(f"a union of {len(branches)} types has no structural schema: {schema}")
    return {**branches[0], **{key: value for key, value in schema.items() if key != "anyOf"}}


def _with_nested_defaults(schema: Json) -> Json:
    """Give every optional group of settings the default `{}`, so that its fields' defaults apply.

    Groups whose absence has a meaning are of type `X | None`; their recorded default of None distinguishes them.
    """
    for name, each in schema.get("properties", {}).items():
        _with_nested_defaults(each)
        if each.get("type") == "object" and "properties" in each and name not in schema.get("required", []):
            each.setdefault("default", {})
    return schema


def spec_schema(kind: Kind) -> Json:
    """The structural schema of a kind's spec, with defaults and immutability rules."""
    model = SPEC_MODELS[kind]
    raw = model.model_json_schema(by_alias=True, mode="validation")
    optional_groups = {name for name, each in _properties(raw) if each.get("default", ...) is None}
    schema = _with_nested_defaults(structural(raw, raw.get("$defs", {})))
    _drop_group_defaults(schema, optional_groups)
    schema["x-kubernetes-validations"] = _immutability_rules(model)
    return schema


def _properties(raw: Json) -> list[tuple[str, Json]]:
    groups = [raw, *raw.get("$defs", {}).values()]
    return [pair for group in groups for pair in group.get("properties", {}).items()]


def _drop_group_defaults(schema: Json, names: set[str]) -> None:
    for name, each in schema.get("properties", {}).items():
        _drop_group_defaults(each, names)
        if name in names and each.get("default") == {}:
            del each["default"]


def _immutability_rules(model: type[JobSpec]) -> list[Json]:
    """One CEL transition rule for each field that is fixed at creation."""
    rules = []
    for name, field in model.model_fields.items():
        if name in MUTABLE_FIELDS:
            continue
        path = field.alias or name
        may_be_absent = not field.is_required() and field.get_default(call_default_factory=True) is None
        same = f"self.{path} == oldSelf.{path}"
        rule = f"has(self.{path}) == has(oldSelf.{path}) && (!has(self.{path}) || {same})" if may_be_absent else same
        message = f"{path} can't be changed after creation: create a new job"
        rules.append({"rule": rule, "message": message, "reason": "FieldValueForbidden", "fieldPath": f".{path}"})
    return rules


def status_schema() -> Json:
    raw = JobStatus.model_json_schema(by_alias=True, mode="validation")
    return _without_defaults(structural(raw, raw.get("$defs", {})))


def _without_defaults(schema: Json) -> Json:
    """A status contains observations; the API server must not add defaults to it."""
    schema.pop("default", None)
    for each in schema.get("properties", {}).values():
        _without_defaults(each)
    if "items" in schema:
        _without_defaults(schema["items"])
    return schema


def definition(kind: Kind) -> Json:
    """The CustomResourceDefinition of one kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": _names(kind),
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in _SHARED_COLUMNS],
                    "schema": {"openAPIV3Schema": _object_schema(kind)},
                }
            ],
        },
    }


def _object_schema(kind: Kind) -> Json:
    """The structural schema of a whole object."""
    name_rule = {
        "rule": f"size(self.metadata.name) <= {MAX_JOB_NAME_LENGTH} && !self.metadata.name.contains('.')",
        "message": f"metadata.name must be at most {MAX_JOB_NAME_LENGTH} characters without dots: "
        "the names of the job's pods begin with it",
    }
    return {
        "type": "object",
        "description": DESCRIPTIONS[kind],
        "required": ["spec"],
        "x-kubernetes-validations": [name_rule, *RULES[kind]],
        "properties": {
            "apiVersion": {
                "type": "string",
                "description": f"Group and version of this object's schema: {API_VERSION}.",
            },
            "kind": {"type": "string", "description": f"What this object is: {kind}."},
            "metadata": {"type": "object"},
            "spec": with_bounds_described(spec_schema(kind)),
            "status": status_schema(),
        },
    }


def _names(kind: Kind) -> Json:
    return {
        "kind": kind.value,
        "listKind": f"{kind}List",
        "plural": kind.plural,
        "singular": kind.singular,
        "shortNames": [kind.short_name],
        "categories": [CATEGORY],
    }


def _column(name: str, type_: str, path: str, description: str) -> Json:
    return {"name": name, "type": type_, "jsonPath": path, "description": description}


class _Dumper(yaml.SafeDumper):
    """Writes values that occur twice in full: not every reader of YAML knows anchors, and people read it too."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def render(kind: Kind) -> str:
    """The definition as the committed YAML file."""
    header = "# Generated from contract/ by `make generate`. Do not edit.\n"
    body: str = yaml.dump(definition(kind), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return header + body


def write_all(folder: Path) -> list[Path]:
    """Write one file a kind; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind in Kind:
        path = folder / f"{kind.crd_name}.yaml"
        path.write_text(render(kind), encoding="utf-8")
        paths.append(path)
    return paths


def main() -> None:
    for folder in sys.argv[1:] or ["crds"]:
        for path in write_all(Path(folder)):
            print(f"wrote {path}")


if __name__ == "__main__":
    main()
