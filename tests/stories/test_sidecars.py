"""A service mesh injects a container that never ends into every pod: jobs end all the same, and the next one starts."""

import sys
from collections.abc import Iterator

import pytest
from support.darkroom_up import Darkroom, wait_for
from support.injections import injecting_darkroom
from support.warm_parent.installation import WarmParent

from darkroom_local.node.journal import overlapping_runs

MESH = {"name": "mesh", "image": "mesh:1", "command": ["mesh"]}
QUICK = {"steps": 1, "width": 64, "height": 64, "cache_profile": "Disabled"}


@pytest.fixture(scope="module")
def meshed(tmp_path_factory: pytest.TempPathFactory, warm_cluster: WarmParent) -> Iterator[Darkroom]:
    """A cluster that injects a container which runs until it is stopped. A run's own container ends with the run."""
    folder, changes = tmp_path_factory.mktemp("meshed"), [("/spec/containers/-", MESH)]
    with injecting_darkroom(folder, warm_cluster, changes, options=("--warm-seconds", "0")) as darkroom:
        program = darkroom.state_dir / "bin" / "mesh"
        program.write_text(f"#!{sys.executable} -S\nimport time\nprint('on guard', flush=True)\ntime.sleep(3600)\n")
        program.chmod(0o755)
        yield darkroom


def test_job_succeeds_while_a_sidecar_still_runs(meshed: Darkroom) -> None:
    first = meshed.generate(prompt="a red circle", **QUICK)
    second = meshed.generate(prompt="a blue circle", **QUICK)

    done = meshed.wait_for_phase(first, "Succeeded")
    assert (done["attempts"], meshed.resource("generatejob", first)["status"].get("failures", 0)) == (1, 0)
    wait_for(lambda: not meshed.pods_of(first), "its pod is gone")
    meshed.wait_for_phase(second, "Succeeded")

    [run], [following] = meshed.runs_of(first), meshed.runs_of(second)
    assert set(run.containers) == {"runner", "mesh"}
    assert run.containers["runner"].exit_code == 0
    assert run.ended is not None
    assert run.ended < following.began
    assert overlapping_runs(meshed.record()) == []


def test_failed_job_has_its_reason_while_a_sidecar_still_runs(meshed: Darkroom) -> None:
    meshed.apply(
        "TrainJob",
        "photoless",
        modelId="nobody",
        prompt="sks",
        dataset={"uri": "s3://darkroom/datasets/examples/star/nowhere/"},
        maxSteps=1,
    )
    job = meshed.wait_for_phase("photoless", "Failed")
    assert job["failure"]["reason"] == "DatasetNotFound"
    wait_for(lambda: not meshed.pods_of("photoless"), "its pod is gone")
