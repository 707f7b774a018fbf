"""A pod that takes over further runs: its manifest and template hash, the patches of a hand-over, how it is read."""

import json
from typing import Any

import kubernetes_validate
import pytest
from support.operator_snapshots import a_job, a_training
from support.pod_security import violations
from support.simulated_api import merged

from darkroom_contract import environment, handover
from darkroom_contract.runs import RunDocument
from darkroom_operator.errors import SettingsError
from darkroom_operator.pods.builder import runner_pod, template_hash
from darkroom_operator.pods.runner_pod import read_pod
from darkroom_operator.pods.template import check_template
from darkroom_operator.pods.warm_patches import acknowledgement, run_gift, takeover
from darkroom_operator.settings import Settings

KEY = "0f" * 32
SETTINGS = Settings(runner_image="darkroom/runner:1", redis_url="redis://redis:6379/0", warm_seconds=30.0, max_runs=7)
JOB, NEXT = a_job("first"), a_training("next")


def manifest(settings: Settings = SETTINGS) -> dict[str, Any]:
    return runner_pod(JOB, 1, 0, settings, KEY)


def stored(document: dict[str, Any]) -> dict[str, Any]:
    metadata = {"uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-11-25T12:00:00Z"}
    return {**document, "metadata": {**document["metadata"], **metadata}}


def patched(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = merged(document, patch)
    return result


def variables(document: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in document["spec"]["containers"][0]["env"]}


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_kubernetes_accepts_it(version: str) -> None:
    kubernetes_validate.validate(manifest(), version, strict=True)
    assert violations(manifest()) == []


def test_it_has_the_settings_of_a_warm_runner() -> None:
    found = variables(manifest())
    assert {name: found[name] for name in found if name in WARM_VARIABLES} == {
        environment.WARM_SECONDS: "30.0",
        environment.MAX_RUNS: "7",
        environment.OUTCOME_KEY: KEY,
        environment.HANDOVER_DIR: "/etc/darkroom/handover",
    }


WARM_VARIABLES = (environment.WARM_SECONDS, environment.MAX_RUNS, environment.OUTCOME_KEY, environment.HANDOVER_DIR)


def test_its_annotations_are_files() -> None:
    [volume] = [each for each in manifest()["spec"]["volumes"] if each["name"] == "handover"]
    assert {each["path"]: each["fieldRef"]["fieldPath"] for each in volume["downwardAPI"]["items"]} == {
        "run": "metadata.annotations['darkroom.dev/run']",
        "acknowledged": "metadata.annotations['darkroom.dev/acknowledged']",
    }
    [mount] = [each for each in manifest()["spec"]["containers"][0]["volumeMounts"] if each["name"] == "handover"]
    assert (mount["mountPath"], mount["readOnly"]) == (variables(manifest())[environment.HANDOVER_DIR], True)


def test_without_a_key_there_is_no_trace_of_it() -> None:
    cold = json.dumps(runner_pod(JOB, 1, 0, SETTINGS))
    assert all(word not in cold for word in (*WARM_VARIABLES, "handover", handover.ANNOTATION_TEMPLATE))


@pytest.mark.parametrize("change", [{"warm_seconds": 0.0}, {"redis_url": None}])
def test_pods_are_kept_warm_only_with_a_time_and_with_redis(change: dict[str, Any]) -> None:
    assert SETTINGS.keeps_pods_warm
    assert not SETTINGS.model_copy(update=change).keeps_pods_warm


@pytest.mark.parametrize(
    "change",
    [
        {"runner_image": "darkroom/runner:2"},
        {"warm_seconds": 31.0},
        {"max_runs": 8},
        {"gpu_count": 2},
        {"runner_secret": "other"},
        {"termination_grace_seconds": 3},
        {"runner_template": {"spec": {"nodeSelector": {"gpu": "a100"}}}},
    ],
    ids=str,
)
def test_template_hash_depends_on_every_setting_of_a_pod(change: dict[str, Any]) -> None:
    assert template_hash(SETTINGS.model_copy(update=change)) != template_hash(SETTINGS)


def test_template_hash_depends_on_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    before = template_hash(SETTINGS)
    monkeypatch.setattr("darkroom_operator.pods.builder.version", lambda name: "99.0.0")
    assert template_hash(SETTINGS) != before


def test_template_hash_does_not_depend_on_the_job() -> None:
    found = {read_pod(stored(runner_pod(job, 3, 0, SETTINGS, KEY))).template for job in (JOB, NEXT)}
    assert found == {template_hash(SETTINGS)}


@pytest.mark.parametrize(
    "template",
    [
        {"spec": {"volumes": [{"name": "handover", "emptyDir": {}}]}},
        {"spec": {"containers": [{"name": "runner", "env": [{"name": "DARKROOM_OUTCOME_KEY", "value": "x"}]}]}},
        {
            "spec": {
                "containers": [
                    {"name": "runner", "volumeMounts": [{"name": "v", "mountPath": "/etc/darkroom/handover/"}]}
                ]
            }
        },
    ],
    ids=["volume", "variable", "mount path"],
)
def test_template_can_not_replace_the_parts_of_a_hand_over(template: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"reserved by Darkroom|is set by Darkroom"):
        check_template(template, "template.yaml")


class TestHandover:
    FIRST = stored(manifest())

    def taken(self) -> dict[str, Any]:
        idle = patched(self.FIRST, acknowledgement(read_pod(self.FIRST)))
        return patched(idle, takeover(read_pod(idle), NEXT, 2))

    def test_new_pod_has_its_run(self) -> None:
        pod = read_pod(self.FIRST)
        assert (pod.outcome_key, pod.is_idle, pod.is_warm, pod.has_run) == (KEY, False, False, True)

    def test_acknowledged_pod_is_idle(self) -> None:
        document = patched(self.FIRST, acknowledgement(read_pod(self.FIRST)))
        pod = read_pod(document)
        assert (pod.is_idle, pod.is_warm, pod.has_run) == (True, False, True)
        assert document["metadata"]["annotations"][handover.ANNOTATION_ACKNOWLEDGED] == f"{JOB.uid}/1"
        assert document["metadata"]["labels"][handover.LABEL_RUNNER_STATE] == "idle"

    def test_taken_pod_is_that_of_the_next_run_and_does_not_have_it_yet(self) -> None:
        document = self.taken()
        pod, fresh = read_pod(document), runner_pod(NEXT, 2, 0, SETTINGS, KEY)["metadata"]
        assert (pod.is_idle, pod.is_warm, pod.has_run) == (False, True, False)
        assert document["metadata"]["labels"] == fresh["labels"]
        assert document["metadata"]["ownerReferences"] == fresh["ownerReferences"]

    def test_given_document_is_that_of_a_new_pod(self) -> None:
        document = patched(self.taken(), run_gift(read_pod(self.taken()), NEXT, SETTINGS))
        pod, text = read_pod(document), document["metadata"]["annotations"][handover.ANNOTATION_RUN]
        assert pod.has_run
        assert text == variables(runner_pod(NEXT, 2, 0, SETTINGS))[environment.RUN].replace("$$", "$")
        assert RunDocument.from_json(text).uid == NEXT.uid

    @pytest.mark.parametrize(
        "patch",
        [
            acknowledgement(read_pod(FIRST)),
            takeover(read_pod(FIRST), NEXT, 2),
            run_gift(read_pod(FIRST), NEXT, SETTINGS),
        ],
        ids=["acknowledge", "take over", "give"],
    )
    def test_patch_is_refused_if_the_pod_has_changed(self, patch: dict[str, Any]) -> None:
        assert (patch["metadata"]["uid"], patch["metadata"]["resourceVersion"]) == ("u", "7")

    @pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"uid": "x"}', "null", "7"])
    def test_annotation_that_is_no_run_document_gives_no_run(self, text: str) -> None:
        document = patched(self.taken(), {"metadata": {"annotations": {handover.ANNOTATION_RUN: text}}})
        assert not read_pod(document).has_run

    def test_key_is_not_in_the_text_of_a_pod(self) -> None:
        assert KEY not in repr(read_pod(self.FIRST))


class TestForeignController:
    @pytest.mark.parametrize(
        "change",
        [
            {"spec": {**manifest()["spec"], "schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]}},
            {"metadata": {**stored(manifest())["metadata"], "finalizers": ["kueue.x-k8s.io/managed"]}},
            {"metadata": {**stored(manifest())["metadata"], "annotations": {"darkroom.dev/foreign-gates": "x"}}},
        ],
        ids=["gate", "finalizer", "annotation"],
    )
    def test_its_pods_are_marked(self, change: dict[str, Any]) -> None:
        assert read_pod({**stored(manifest()), **change}).foreign

    def test_other_pods_are_not(self) -> None:
        pod = read_pod(stored(manifest()))
        assert pod.gated
        assert not pod.foreign
