"""Small models loaded in this process, and training sessions with them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom_contract.plan import plan_training
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.models import pretrained
from darkroom_runner.run.progress import ProgressTracker
from darkroom_runner.run.progress_events import NullSender
from darkroom_runner.run.stop_signal import StopSignal
from support.runner_processes import SDXL_NAME

if TYPE_CHECKING:
    from support.pipeline_copies import LoadedOnce


def load_small_model(root: Path, name: str, pipeline: str) -> Any:
    """On the CPU, as by a task."""
    import torch

    return pretrained.load_pipeline(
        pretrained.find_pretrained(name, pipeline, root), torch.float32, torch.device("cpu")
    )


def open_small_training(
    model_root: Path,
    loaded_once: "LoadedOnce",
    stop_signal: StopSignal | None = None,
    max_steps: int = 2,
    **training: Any,
) -> Any:
    """`training` are settings that differ from those of a short training."""
    from darkroom_runner.training.session import open_session

    spec = TrainJobSpec.from_dict(
        {
            "modelId": "my-dog",
            "prompt": "a photo of sks dog",
            "dataset": {"uri": "s3://darkroom/photos/"},
            "maxSteps": max_steps,
            "training": {"rank": 4, "learningRate": 1e-2, **training},
        }
    )
    model = pretrained.find_pretrained(SDXL_NAME, pretrained.SDXL, model_root)
    progress = ProgressTracker(1, plan_training(spec), NullSender())
    with loaded_once:
        return open_session(model, spec, progress, stop_signal or StopSignal())
