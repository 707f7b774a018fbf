"""Twenty jobs of both kinds are submitted at once, by REST and by YAML: they run one at a time.

Some end within a second, so that the slot is handed over as fast as possible.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from support.darkroom_up import PHOTOS, Darkroom

from darkroom_local.node.journal import overlapping_runs

PHOTOLESS = {f"yaml-train-{number}" for number in range(11)}
"""Trainings with missing photos."""
QUICK = {"steps": 1, "width": 64, "height": 64, "cache_profile": "Disabled"}


@pytest.mark.timeout(900)
def test_twenty_mixed_jobs_run_one_at_a_time(darkroom: Darkroom) -> None:
    earlier = len(darkroom.record())
    by_rest = [partial(darkroom.generate, prompt="a red circle", **QUICK) for _ in range(4)]
    by_rest += [partial(darkroom.train, PHOTOS[:1], prompt="sks", model_id=f"m{n}", max_steps=1) for n in range(2)]
    by_yaml = [partial(_apply_generation, darkroom, f"yaml-{number}") for number in range(3)]
    by_yaml += [partial(_apply_training, darkroom, name) for name in PHOTOLESS]

    with ThreadPoolExecutor(20) as pool:
        names = {future.result() for future in [pool.submit(submit) for submit in [*by_rest, *by_yaml]]}
    ends = {name: darkroom.wait_for_phase(name, "Succeeded", "Failed")["phase"] for name in names}

    runs = darkroom.record()[earlier:]
    assert len(names) == 20
    assert overlapping_runs(runs) == []
    assert sorted(run.labels["darkroom.dev/job-name"] for run in runs) == sorted(names)
    assert {name for name, phase in ends.items() if phase == "Failed"} == PHOTOLESS
    for name in PHOTOLESS:
        assert darkroom.job(name)["failure"]["reason"] == "DatasetNotFound"


def _apply_generation(darkroom: Darkroom, name: str) -> str:
    images = {"steps": 1, "width": 64, "height": 64}
    darkroom.apply("GenerateJob", name, prompt="a blue square", images=images, cache={"profile": "Disabled"})
    return name


def _apply_training(darkroom: Darkroom, name: str) -> str:
    """With missing photos: it fails within a second, and the next job starts."""
    dataset = {"uri": "s3://darkroom/datasets/examples/star/nowhere/"}
    darkroom.apply("TrainJob", name, modelId="nobody", prompt="sks", dataset=dataset, maxSteps=1)
    return name
