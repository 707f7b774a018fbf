"""A training between two equal pictures: the runner keeps nothing of it."""

import json
from collections.abc import Callable

import pytest
from support.darkroom_up import PHOTOS, Darkroom
from support.warm_jobs import a_picture, digest, status_of

from darkroom_contract.names import LABEL_JOB_NAME
from darkroom_local.node.journal import overlapping_runs

NAMES = ["before", "training", "with-model", "after"]
PROMPT = "a photo of sks star"
StorePhotos = Callable[[str, dict[str, bytes]], str]


@pytest.mark.timeout(600)
def test_picture_after_a_training_equals_the_one_before(darkroom: Darkroom, store_photos: StorePhotos) -> None:
    photos = store_photos("between", {photo.name: photo.read_bytes() for photo in PHOTOS[:2]})
    spec = {"modelId": "between", "prompt": PROMPT, "maxSteps": 12, "dataset": {"uri": photos}}
    training = {"apiVersion": "darkroom.dev/v1alpha1", "kind": "TrainJob", "metadata": {"name": "training"}}
    training |= {"spec": spec | {"training": {"rank": 4, "learningRate": 0.01}}}
    items = [a_picture("before", PROMPT), training, a_picture("with-model", PROMPT, modelId="between")]
    items += [a_picture("after", PROMPT, priority=-1)]

    for item in items:
        darkroom.kubectl("apply", "-f", "-", stdin=json.dumps(item))
        if item["metadata"]["name"] == "before":
            # Of jobs created in one second, trainings run first.
            darkroom.wait_for_phase("before", "Starting", "Running", "Succeeded")
    for name in NAMES:
        darkroom.wait_for_phase(name, "Succeeded")

    assert digest(darkroom, "after") == digest(darkroom, "before")
    assert digest(darkroom, "with-model") != digest(darkroom, "before")
    runs = [run for run in darkroom.record() if run.labels[LABEL_JOB_NAME] in NAMES]
    assert [run.labels[LABEL_JOB_NAME] for run in runs] == NAMES
    assert overlapping_runs(runs) == []
    assert status_of(darkroom, "training", "trainjob")["runStart"] == "Warm"
    assert status_of(darkroom, "after")["runStart"] == "Warm"
