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


def assert_same_files(
    pod: WarmPod, start_run: Callable[..., Any], jobs: list[GenerateJobSpec | TrainJobSpec], kept: int
) -> None:
    """Run the jobs in one process, and each in a new one. `kept`: how many find the base model in memory."""
    warm = [digests(pod.outcome(pod.start(jobs[0])))]
    warm += [digests(pod.carry_out(job)) for job in jobs[1:]]
    # In the same order: the picture with a LoRA needs the training before it.
    new = list[list[tuple[str, str]]]()
    for number, job in enumerate(jobs):
        first = jobs.index(job)
        new.append(digests(start_run(job).finish(280).outcome) if first == number else new[first])

    assert warm == new
    assert pod.log.count("test-sdxl is in memory from an earlier run") == kept, pod.log


def test_picture_after_a_clip_is_that_of_a_new_process(pod: WarmPod, start_run: Callable[..., Any]) -> None:
    assert_same_files(pod, start_run, [PLAIN, CLIP, PLAIN], kept=2)


def test_training_between_pictures_changes_none_of_them(
    pod: WarmPod, start_run: Callable[..., Any], put_dataset: Callable[..., str]
) -> None:
    assert_same_files(pod, start_run, [PLAIN, training(put_dataset()), OTHER, PLAIN], kept=1)
