"""Models that wait off the device during the steps are there for samples, and away again afterwards."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from darkroom_runner.training.idle_models import IdleModels

SAMPLES = {"validationPrompt": "a photo of sks dog", "validationSteps": 2}


def test_samples_with_little_memory_are_those_of_a_training_with_much(open_job: Callable[..., Any]) -> None:
    low, auto = open_job(memory="Low", **SAMPLES), open_job(**SAMPLES)
    places: list[str] = []
    step = low.session.progress.step

    def record(number: int, total: int | None = None, **metrics: float) -> None:
        if "loss" in metrics:
            places.append(low.session.pipeline.vae.device.type)
        step(number, total, **metrics)

    low.session.progress.step = record
    low_files, auto_files = low.train().files, auto.train().files

    assert places == ["meta"] * 4
    assert low.losses == pytest.approx(auto.losses, rel=1e-4)
    assert [path.name for path in low_files] == [path.name for path in auto_files]
    assert low.remarks in ([], ["MemorySaved"])


def test_models_are_put_away_again_when_they_do_not_fit(open_job: Callable[..., Any]) -> None:
    job = open_job(memory="Low", **SAMPLES)
    put_away: list[int] = []

    def run_out_of_memory() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    step = job.session.progress.step

    def record(number: int, total: int | None = None, **metrics: float) -> None:
        if number == 2 and "loss" in metrics:
            job.session.idle_models.bring_back = run_out_of_memory
            job.session.idle_models.put_away = lambda: put_away.append(number)
        if number == 3 and "loss" in metrics:
            del job.session.idle_models.bring_back, job.session.idle_models.put_away
        step(number, total, **metrics)

    job.session.progress.step = record
    job.train()

    assert put_away == [2]
    assert "SamplesLeftOut" in job.remarks
    assert len(job.losses) == 4


def test_a_failure_to_bring_a_model_back_does_not_fail_the_next_image(
    open_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = open_job(1, memory="Low", validationPrompts=["a photo of sks dog", "a painting of sks dog"])
    read_again, failed = IdleModels._read_again, list[str]()

    def fail_once(models: IdleModels, name: str) -> None:
        if not failed:
            failed.append(name)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        read_again(models, name)

    monkeypatch.setattr(IdleModels, "_read_again", fail_once)
    result = job.train()

    assert [path.name for path in result.files if path.suffix == ".png"] == ["a-job-validation-2.png"]
