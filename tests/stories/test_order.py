"""Jobs that are submitted together: a training runs before generations with its model; others run in order of
submission, also within one second."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.darkroom_up import PHOTOS, Darkroom, wait_for
from support.kube_api import Api

from darkroom_contract.names import LABEL_JOB_NAME
from darkroom_local.node.journal import overlapping_runs

TRAINJOBS = "trainjobs.darkroom.dev/v1alpha1"
StorePhotos = Callable[[str, dict[str, bytes]], str]


@pytest.fixture
def photos(store_photos: StorePhotos) -> str:
    """The address of a folder with two photos."""
    return store_photos("ordered", {photo.name: photo.read_bytes() for photo in PHOTOS[:2]})


def a_job(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "darkroom.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def a_training(name: str, model: str, photos: str, steps: int = 40) -> dict[str, Any]:
    spec = {"modelId": model, "prompt": "a photo of sks star", "maxSteps": steps, "training": {"rank": 4}}
    return a_job("TrainJob", name, dataset={"uri": photos}, **spec)


def a_generation(name: str, model: str) -> dict[str, Any]:
    images = {"steps": 2, "width": 64, "height": 64}
    return a_job("GenerateJob", name, prompt="a photo of sks star", modelId=model, images=images)


def apply(darkroom: Darkroom, *documents: dict[str, Any]) -> None:
    """One file."""
    darkroom.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))


def order_of(darkroom: Darkroom, *names: str) -> list[str]:
    """The start of each run of these jobs."""
    run = [each.labels[LABEL_JOB_NAME] for each in darkroom.record()]
    return [name for name in run if name in names]


@pytest.mark.parametrize("first", ["training", "generation"])
def test_a_generation_waits_for_the_training_of_its_model(darkroom: Darkroom, photos: str, first: str) -> None:
    train, draw, model = f"train-{first}-first", f"draw-{first}-first", f"ordered-{first}-first"
    documents = [a_training(train, model, photos), a_generation(draw, model)]
    apply(darkroom, *(documents if first == "training" else reversed(documents)))

    admitted = wait_for(lambda: _waiting_for_model(darkroom, draw), "the generation waits for its model")
    assert train in admitted
    for name in (train, draw):
        darkroom.wait_for_phase(name, "Succeeded")

    assert order_of(darkroom, train, draw) == [train, draw]
    assert darkroom.resource("generatejob", draw)["status"].get("failures", 0) == 0


def test_generation_submitted_with_a_retraining_uses_the_new_model(darkroom: Darkroom, photos: str) -> None:
    """The old model exists and the slot is free: without the rule the generation would start at once."""
    apply(darkroom, a_training("train-old", "ordered-again", photos, steps=1))
    darkroom.wait_for_phase("train-old", "Succeeded")

    apply(darkroom, a_generation("draw-new", "ordered-again"), a_training("train-new", "ordered-again", photos))

    assert "train-new" in wait_for(lambda: _waiting_for_model(darkroom, "draw-new"), "the generation waits")
    darkroom.wait_for_phase("draw-new", "Succeeded")
    assert order_of(darkroom, "train-new", "draw-new") == ["train-new", "draw-new"]


def test_generation_does_not_wait_for_training_of_another_model(darkroom: Darkroom, photos: str) -> None:
    apply(darkroom, a_training("train-mine", "ordered-mine", photos, steps=1))
    darkroom.wait_for_phase("train-mine", "Succeeded")
    apply(darkroom, a_generation("draw-mine", "ordered-mine") | {}, a_training("train-other", "ordered-other", photos))
    for name in ("draw-mine", "train-other"):
        darkroom.wait_for_phase(name, "Succeeded")
    assert _waiting_for_model(darkroom, "draw-mine") is None


def test_twelve_jobs_of_one_second_run_in_order_of_submission(darkroom: Darkroom) -> None:
    """Submitted one after another; their creation timestamps have whole seconds and are equal."""
    api = Api(darkroom.state_dir / "kubeconfig", _namespace(darkroom))
    long = darkroom.generate(prompt="a red circle", steps=60, cache_profile="Disabled")
    names = [f"ordered-{letter}" for letter in "kbxaqfzmcwej"]
    nowhere = "s3://darkroom/datasets/examples/star/nowhere/"
    created = [api.made(TRAINJOBS, a_training(name, name, nowhere)) for name in names]
    api.http.close()
    assert len({each["metadata"]["creationTimestamp"] for each in created}) < len(names)

    for name in (long, *names):
        darkroom.wait_for_phase(name, "Succeeded", "Failed")

    assert order_of(darkroom, *names) == names
    assert overlapping_runs(darkroom.record()) == []


def _namespace(darkroom: Darkroom) -> str:
    return darkroom.kubectl("config", "view", "--minify", "-o", "jsonpath={..namespace}")


def _waiting_for_model(darkroom: Darkroom, name: str) -> str | None:
    """The message of a generation that waits for its model."""
    admitted = darkroom.conditions("generatejob", name).get("Admitted", {})
    message: str = admitted.get("message", "")
    return message if admitted.get("reason") == "WaitingForModel" and admitted.get("status") == "False" else None
