"""Whatever a release accepted, its successors accept, and read the same. Shown on random objects of the released
schemas, for the changes that support/crd_changes.py lists as harmless."""

import copy
import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from support.crd_changes import DOOMED, ON_NEW_FIELDS, WIDENED
from support.schema_values import values

from darkroom_contract.crd.definitions import RULES, definition
from darkroom_contract.jobs import read_job
from darkroom_contract.names import API_VERSION, Kind
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training import Training
from darkroom_local.apiserver.apiextensions.cel_rules import MISSING, compile_rules
from darkroom_local.apiserver.apiextensions.structural_schema import StructuralSchema

Json = dict[str, Any]

CREATED = "2026-11-01T00:00:00Z"
RELEASES = sorted((Path(__file__).parent / "released").iterdir())
DOOMED_MESSAGES = [rule["message"] for rules in RULES.values() for rule in rules if rule["rule"] in DOOMED]


@dataclass(frozen=True)
class ServedSchema:
    """One version of a CRD, as an API server applies it."""

    schema: Json
    structural: StructuralSchema = field(init=False)
    rules: Any = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "structural", StructuralSchema(self.schema))
        object.__setattr__(self, "rules", compile_rules(self.schema))

    @classmethod
    def of(cls, crd: Json) -> "ServedSchema":
        [version] = crd["spec"]["versions"]
        return cls(version["schema"]["openAPIV3Schema"])

    def stored(self, job: Json) -> Json:
        """With defaults."""
        document = copy.deepcopy(job)
        self.structural.default(document)
        return document

    def refusals(self, job: Json, old: Any = MISSING) -> list[str]:
        """Why a job is refused at its creation, or as an update of `old`."""
        causes = self.structural.validate(job) or list(self.rules.validate(job, old))
        return [str(cause) for cause in causes]


def released(kind: Kind, release: Path) -> ServedSchema:
    return ServedSchema.of(yaml.safe_load((release / f"{kind.crd_name}.yaml").read_text(encoding="utf-8")))


SERVED = {kind: ServedSchema.of(definition(kind)) for kind in Kind}
RELEASED = {(kind, release.name): released(kind, release) for kind in Kind for release in RELEASES}


@functools.cache
def accepted_jobs(kind: Kind, release: str) -> st.SearchStrategy[Any]:
    """Jobs as users wrote them, which the release accepted."""
    old = RELEASED[kind, release]
    metadata = {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1", "creationTimestamp": CREATED}
    head = {"apiVersion": API_VERSION, "kind": kind.value, "metadata": metadata}
    specs = values(old.schema["properties"]["spec"])
    return specs.map(lambda spec: {**head, "spec": spec}).filter(lambda job: not old.refusals(old.stored(job)))


@functools.cache
def only_rules(kind: Kind, *rules: str) -> Any:
    """Rules of the whole object, without the others of its schema."""
    assert rules
    alone = [{"rule": rule} for rule in rules]
    compiled = compile_rules({**SERVED[kind].schema, "properties": {}, "x-kubernetes-validations": alone})
    assert compiled is not None
    return compiled


slow = settings(
    max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None
)


@pytest.mark.parametrize(("kind", "release"), RELEASED, ids=lambda value: str(value))
@given(data=st.data())
@slow
def test_a_job_that_a_release_accepted_is_accepted_and_can_be_updated(
    kind: Kind, release: str, data: st.DataObject
) -> None:
    old, new = RELEASED[kind, release], SERVED[kind]
    job = data.draw(accepted_jobs(kind, release))
    refusals = [each for each in new.refusals(new.stored(job)) if not any(text in each for text in DOOMED_MESSAGES)]
    assert refusals == []
    # What etcd has of the release gets the new defaults when it is read; then the user changes its priority.
    read = new.stored(old.stored(job)) | {"status": {"phase": "Queued"}}
    changed = copy.deepcopy(read)
    changed["spec"]["priority"] = 7
    assert new.refusals(changed, read) == []


@pytest.mark.parametrize(("kind", "release"), RELEASED, ids=lambda value: str(value))
@given(data=st.data())
@slow
def test_a_rule_on_new_fields_holds_for_every_job_of_a_release(kind: Kind, release: str, data: st.DataObject) -> None:
    job = SERVED[kind].stored(data.draw(accepted_jobs(kind, release)))
    alone = only_rules(kind, *(rule["rule"] for rule in RULES[kind] if rule["rule"] in ON_NEW_FIELDS))
    assert list(alone.validate(job, MISSING)) == []


@pytest.mark.parametrize("rule", ["self.spec.priority < 1", "!has(self.spec.modelId)", "self.spec.absent == 1"])
def test_a_rule_that_refuses_old_jobs_is_found(rule: str) -> None:
    alone = only_rules(Kind.TRAIN, rule)

    @given(job=accepted_jobs(Kind.TRAIN, RELEASES[-1].name))
    @settings(slow, phases=[Phase.generate])
    def holds(job: Json) -> None:
        assert list(alone.validate(SERVED[Kind.TRAIN].stored(job), MISSING)) == []

    with pytest.raises((AssertionError, ExceptionGroup)):
        holds()


@pytest.mark.parametrize(("old", "new"), sorted(WIDENED))
@given(data=st.data())
def test_a_wider_pattern_accepts_all_that_the_old_one_accepted(old: str, new: str, data: st.DataObject) -> None:
    text = data.draw(st.from_regex(old.removesuffix("$") + r"\Z"))
    assert re.fullmatch(new, text)


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
@given(data=st.data())
@slow
def test_a_training_without_a_learning_rate_has_the_one_that_was_the_default(
    release: Path, data: st.DataObject
) -> None:
    old = RELEASED[Kind.TRAIN, release.name]
    job = data.draw(accepted_jobs(Kind.TRAIN, release.name))
    assume("learningRate" not in job["spec"].get("training", {}))
    spec = read_job(SERVED[Kind.TRAIN].stored(job)).spec
    assert isinstance(spec, TrainJobSpec)
    assert spec.training.peak_learning_rate == old.stored(job)["spec"]["training"]["learningRate"]
    assert Training().peak_learning_rate == 1e-4
