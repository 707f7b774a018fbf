"""A warm run makes the same files, bit by bit, as a new process, whatever ran before it."""

from collections.abc import Callable
from typing import Any

from support.warm_pods import WarmPod

from darkroom_contract.outcome import Outcome
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec

PLAIN = GenerateJobSpec.from_dict({"prompt": "a photo of sks dog", "images": {"steps": 3, "seed": 7}})
OTHER = GenerateJobSpec.from_dict(
    {
        "prompt": "a (cat:1.3) on the moon",
        "negativePrompt": "blurry",
        "modelId": "my-dog",
        "loraScale": 0.7,
        "images": {"steps": 5, "seed": 1, "scheduler": "EulerAncestral", "vaeTiling": "Enabled", "previewSteps": 1},
        "upscale": {"factor": 2, "strength": 0.5},
        "cache": {"interval": 2},
    }
)
CLIP = GenerateJobSpec.from_dict(
    {
        "prompt": "a photo of sks dog",
        "allowMotion": True,
        "images": {"steps": 2, "seed": 7, "scheduler": "DDIM"},
        "cache": {"interval": 2, "policy": "DeepCache"},
        "video": {"steps": 2, "fps": 5},
    }
)
"""Its pictures, that is: what x264 writes differs from process to process on a busy machine."""


def training(dataset: str) -> TrainJobSpec:
    settings = {"rank": 4, "learningRate": 1e-2, "seed": 3, "trainTextEncoders": True, "loraDropout": 0.1}
    return TrainJobSpec.from_dict(
        {
            "modelId": "my-dog",
            "prompt": "a photo of sks dog",
            "dataset": {"uri": dataset},
            "maxSteps": 2,
            "training": {**settings, "validationPrompt": "a photo of sks dog"},
        }
    )


def digests(outcome: Outcome) -> list[tuple[str, str]]:
    assert outcome.succeeded, outcome
    return [(file.name, file.sha256) for file in outcome.files if not file.name.endswith(".mp4")]


def test_warm_runs_make_the_files_of_new_processes(
    pod: WarmPod, start_run: Callable[..., Any], put_dataset: Callable[..., str]
) -> None:
    jobs = {"plain": PLAIN, "training": training(put_dataset()), "other": OTHER, "clip": CLIP}
    order = ["plain", "training", "plain", "other", "plain", "clip", "other", "training", "plain"]

    warm = [digests(pod.outcome(pod.start(jobs[order[0]])))]
    warm += [digests(pod.carry_out(jobs[name])) for name in order[1:]]

    new = {name: digests(start_run(spec).finish(280).outcome) for name, spec in jobs.items()}
    assert warm == [new[name] for name in order]
    assert len(new["training"]) == 3
    assert pod.log.count("test-sdxl is in memory from an earlier run") == 5, pod.log
