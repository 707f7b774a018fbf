"""The reference page of both kinds, generated from the models.

`python -m darkroom_contract.crd.reference docs/reference.md` writes it (`make generate`); a test fails when the
committed page differs."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from darkroom_contract import names
from darkroom_contract.crd.bounds import bounds_text, default_text
from darkroom_contract.crd.definitions import definition, spec_schema, status_schema
from darkroom_contract.names import API_VERSION, CATEGORY, GROUP, Kind
from darkroom_contract.outcome import Reason
from darkroom_contract.reasons import CONDITIONS, FAILURES, STATES, Advice, ConditionReason
from darkroom_contract.specs.job import MUTABLE_FIELDS, JobSpec
from darkroom_contract.status import ConditionStatus

Json = dict[str, Any]

LABELS: Mapping[str, str] = {
    names.LABEL_JOB_UID: "Runner pods: uid of the job.",
    names.LABEL_JOB_KIND: "Runner pods: `TrainJob` or `GenerateJob`.",
    names.LABEL_JOB_NAME: "Runner pods: name of the job.",
    names.LABEL_ATTEMPT: "Runner pods: number of the run, from 1.",
    f"{GROUP}/slot": "Runner pods: number of the slot, from 0.",
    names.LABEL_MODEL_ID: "Jobs from the gateway: the LoRA that is trained or used.",
    names.LABEL_SUBMITTED_BY: "Jobs from the gateway: name of the API key that created it. Absent without keys.",
    names.LABEL_DELETE_FILES: "Jobs, by the gateway or by hand: `true` when their files are deleted with them.",
    names.LABEL_COMPONENT: f"Runner pods: `{names.RUNNER_COMPONENT}`. Leases of slots: `{names.SLOT_COMPONENT}`.",
    names.LABEL_PART_OF: f"Runner pods and Leases of slots: `{names.PART_OF}`.",
    names.LABEL_MANAGED_BY: "Runner pods and Leases of slots: `darkroom-operator`.",
}

ANNOTATIONS: Mapping[str, str] = {
    names.ANNOTATION_JOB: "Leases of slots: their holder, as `Kind/name`.",
    names.ANNOTATION_PHOTOS_SHA256: "TrainJobs from the gateway: SHA-256 over the SHA-256 of each uploaded photo, "
    "in order. A request with the same `Idempotency-Key` must bring the same photos.",
    names.ANNOTATION_TRACEPARENT: "Jobs from the gateway, with tracing: the span of the request, in the form of W3C's "
    "`traceparent`. The spans of its runs belong to the same trace.",
    names.ANNOTATION_UPLOAD: "TrainJobs from the gateway: URI of the upload by links whose photos it has. A request "
    "with the same `Idempotency-Key` and upload is a repetition.",
    names.ANNOTATION_WEBHOOK: "Jobs with a webhook: what was delivered, as JSON. Written by the gateway. Without it "
    "all events are sent again.",
}

FINALIZERS: Mapping[str, str] = {
    names.FINALIZER_FILES: "Jobs whose files are deleted with them: keeps a deleted job until a gateway has removed "
    "them.",
}


def page() -> str:
    """The whole page, Markdown."""
    sections = [_head(), *(_kind(kind) for kind in Kind), _status(), _conditions(), _reasons(), _labels()]
    return "\n\n".join(sections) + "\n"


def _head() -> str:
    return f"""<!-- Generated from contract/ by `make generate`. Do not edit. -->

# Reference: TrainJob and GenerateJob

Group and version `{API_VERSION}`. Both kinds are namespaced; `kubectl get {CATEGORY}` shows both. `kubectl explain`
prints the same descriptions:

```sh
kubectl explain generatejobs.{GROUP}.spec.images
```

Kubeflow has a TrainJob too, in its own group: use the full name, `trainjobs.{GROUP}`.

A value that is out of bounds or breaks a rule is refused when the job is created, with the name of its field; so is an
unknown field. Durations are in seconds, sizes in bytes or pixels as named; numbers without a unit are counts."""


def _kind(kind: Kind) -> str:
    [version] = definition(kind)["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    columns = ", ".join(column["name"] for column in version["additionalPrinterColumns"])
    return f"""## {kind}

{schema["description"]}

`kubectl get {kind.plural}.{GROUP}`, short `{kind.short_name}`. Columns: {columns}.

### {kind}: spec

{_field_table(spec_schema(kind), "Field | Type | Default | Values | Description")}

### {kind}: rules

{_rules(kind, schema)}"""


def _rules(kind: Kind, schema: Json) -> str:
    """The CEL rules, by their messages."""
    spec = schema["properties"]["spec"]
    fixed = ", ".join(f"`{rule['fieldPath'].removeprefix('.')}`" for rule in spec["x-kubernetes-validations"])
    mutable = {name: field.alias or name for name, field in JobSpec.model_fields.items() if name in MUTABLE_FIELDS}
    lines = [rule["message"] for rule in schema["x-kubernetes-validations"]]
    lines += [f"`{path}` {rule['message']}" for path, rule in _field_rules(spec)]
    lines.append(f"{fixed} can't be changed after creation: create a new job")
    lines.append(f"{', '.join(f'`{alias}`' for alias in mutable.values())} may be changed at any time")
    return "\n".join(f"- {line}." for line in lines)


def _field_rules(spec: Json) -> Iterator[tuple[str, Json]]:
    for path, each, _ in _fields(spec):
        for rule in each.get("x-kubernetes-validations", []):
            yield path, rule


def _status() -> str:
    table = _field_table(status_schema(), "Field | Type | Values | Description", with_default=False)
    return f"""## Status of both kinds

Only the operator writes it. A field without a value is absent.

{table}"""


def _conditions() -> str:
    rows = [f"| `{kind}` | {words} | {_reason_words(by_status)} |" for kind, (words, by_status) in CONDITIONS.items()]
    return """## Conditions

`kubectl wait --for=condition=Complete trainjob.darkroom.dev/NAME` waits for one.

| Type | True means | Reasons |
|---|---|---|
""" + "\n".join(rows)


def _reason_words(by_status: Mapping[ConditionStatus, tuple[ConditionReason, ...]]) -> str:
    if not by_status:
        return f"{ConditionStatus.TRUE}: any [reason of failure](#why-a-run-or-a-job-failed)"
    return "; ".join(f"{status}: {', '.join(f'`{each}`' for each in found)}" for status, found in by_status.items())


def _reasons() -> str:
    states = "\n".join(_advice_row(reason, "", STATES[reason]) for reason in ConditionReason)
    failures = "\n".join(
        _advice_row(reason, " yes |" if reason.retriable else " no |", FAILURES[reason]) for reason in Reason
    )
    return f"""## Reasons

Part of the API: reasons may be added, none is renamed or removed.
[Troubleshooting](operations/troubleshooting.md) has more about each.

### States of a job

| Reason | Meaning | What to do |
|---|---|---|
{states}

### Why a run or a job failed

On `Failed` when the job failed; on `PodReady` when a run failed and another follows. *Retried*: whether another run
follows, up to `backoffLimit`. The runner reports its reason in the container's termination message, as the field
`reason` of a JSON document.

| Reason | Retried | Meaning | What to do |
|---|---|---|---|
{failures}"""


def _advice_row(reason: str, cell: str, advice: Advice) -> str:
    return f"| `{reason}` |{cell} {advice.meaning} | {advice.action} |"


def _labels() -> str:
    rows = [f"| `{name}` | label | {LABELS[name]} |" for name in LABELS]
    rows += [f"| `{name}` | annotation | {words} |" for name, words in ANNOTATIONS.items()]
    rows += [f"| `{name}` | finalizer | {words} |" for name, words in FINALIZERS.items()]
    return "## Labels, annotations and finalizers\n\n| Name | | Meaning |\n|---|---|---|\n" + "\n".join(rows)


def _field_table(schema: Json, header: str, *, with_default: bool = True) -> str:
    rows = [_row(path, each, required=required, with_default=with_default) for path, each, required in _fields(schema)]
    return "\n".join([f"| {header} |", "|" + "---|" * (header.count("|") + 1), *rows])


def _fields(schema: Json, prefix: str = "") -> Iterator[tuple[str, Json, bool]]:
    """Every field at any depth, with its dotted path and whether it is required."""
    for name, each in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path, each, name in schema.get("required", [])
        yield from _fields(each, f"{path}.")
        if "items" in each:
            yield from _fields(each["items"], f"{path}[].")


def _row(path: str, schema: Json, *, required: bool, with_default: bool) -> str:
    default = default_text(schema)
    cells = [f"`{path}`", _type(schema)]
    if with_default:
        cells.append("required" if required else f"`{default}`" if default and default != "empty" else default)
    cells += [_values(schema), schema["description"]]
    return f"| {' | '.join(cells)} |"


def _values(schema: Json) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    return bounds_text(schema)


def _type(schema: Json) -> str:
    if schema.get("format") == "date-time":
        return "time"
    if schema["type"] == "array":
        return f"list of {schema['items']['type']}s"
    if "additionalProperties" in schema:
        return f"{schema['additionalProperties']['type']}s by name"
    return str(schema["type"])


def main() -> None:
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference.md")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(), encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
