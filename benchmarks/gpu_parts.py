"""The parts of benchmarks/gpu_checks.py, one a process. The last line of the output is the figures as JSON.

Weights are random at the real sizes: that does not affect the speed of fixed work, but the adaptive cache decides by
features, and PSNR is that of the latents.
"""

import argparse
import json
import logging
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from darkroom_contract.specs.cache import Cache
from darkroom_runner.models.device import find_device, generator
from darkroom_runner.models.pretrained import SDXL, SVD, find_pretrained, load_pipeline
from darkroom_runner.run.library_logging import configure_library_logging
from darkroom_runner.sampling.latent_rgb import approximate_pixels
from darkroom_runner.sampling.preview import encode_jpeg
from darkroom_runner.unet_cache.context import unet_cache

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "models"
SMALL_SDXL, SMALL_SVD = "darkroom-tiny-sdxl", "darkroom-tiny-svd"
PROMPT = "a large red circle on a green background"
CACHES = {
    "plain": Cache(profile="Disabled"),
    "deepcache": Cache(policy="DeepCache", interval=3),
    "balanced": Cache(profile="Balanced"),
}
TRAINING_STEPS = 12

Generate = Callable[[Callable[..., Any]], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--script", type=Path)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    configure_library_logging()
    print(json.dumps(PARTS[options.part](options)))


def tests(_: argparse.Namespace) -> dict[str, float]:
    folder = str(ROOT / "tests" / "gpu")
    # Without tests/conftest.py, which imports the gateway and the local cluster.
    options = ["-q", "-p", "no:cacheprovider", "-n", "0", "--confcutdir", folder]
    command = [sys.executable, "-m", "pytest", *options, folder]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    counts = {word: float(number) for number, word in re.findall(r"(\d+) (passed|failed|error|skipped)", run.stdout)}
    if not counts:
        sys.exit(run.stdout + run.stderr)
    print(run.stdout, file=sys.stderr)
    return {"passed": counts.get("passed", 0.0), "failed": counts.get("failed", 0.0) + counts.get("error", 0.0)}


def images(options: argparse.Namespace) -> dict[str, float]:
    device, steps = find_device(), 4 if options.quick else 50
    if options.small:
        pipeline = load_pipeline(find_pretrained(SMALL_SDXL, SDXL, MODELS), device.inference_dtype, device.torch_device)
        pipeline.set_progress_bar_config(disable=True)
    else:
        from sdxl_base import build_pipeline

        pipeline = build_pipeline(device.torch_device)

    def generate(on_step: Callable[..., Any]) -> Any:
        return pipeline(
            PROMPT,
            num_inference_steps=steps,
            guidance_scale=5.0,
            generator=generator(0),
            callback_on_step_end=on_step,
        )

    seconds, latents = compare(pipeline, generate, steps, ["plain", "deepcache", "balanced"], 1 if options.quick else 2)
    gain = psnr(latents["plain"], latents["balanced"]) - psnr(latents["plain"], latents["deepcache"])
    return {
        "speed": seconds["plain"] / seconds["balanced"],
        "deepcache_speed": seconds["plain"] / seconds["deepcache"],
        "psnr_gain_db": gain,
        "seconds_plain": seconds["plain"],
        "preview_percent": 100 * preview_seconds(pipeline, latents["plain"]) / (seconds["plain"] / steps),
    }


def clip(options: argparse.Namespace) -> dict[str, float]:
    device, steps = find_device(), 3 if options.quick else 25
    if options.small:
        pipeline = load_pipeline(find_pretrained(SMALL_SVD, SVD, MODELS), device.inference_dtype, device.torch_device)
        pipeline.set_progress_bar_config(disable=True)
        size = {"width": 64, "height": 64, "num_frames": 4}
    else:
        from svd_base import build_video_pipeline

        pipeline = build_video_pipeline(device.torch_device)
        size = {"width": 1024, "height": 576, "decode_chunk_size": 5}

    def generate(on_step: Callable[..., Any]) -> Any:
        return pipeline(
            Image.new("RGB", (size["width"], size["height"]), "navy"),
            num_inference_steps=steps,
            generator=generator(0),
            callback_on_step_end=on_step,
            **size,
        )

    seconds, _ = compare(pipeline, generate, steps, ["plain", "balanced"], 1)
    return {"speed": seconds["plain"] / seconds["balanced"], "seconds_plain": seconds["plain"]}


def compare(
    pipeline: Any, generate: Generate, steps: int, names: list[str], rounds: int
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Median seconds of a call and its last latents with each cache, in turn. Some steps of a first call warm up."""
    times: dict[str, list[float]] = {name: [] for name in names}
    latents: dict[str, torch.Tensor] = {}
    warm_up(pipeline, generate)
    for _ in range(rounds):
        for name in names:

            def keep(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any], name: str = name) -> dict[str, Any]:
                latents[name] = kwargs["latents"]
                return kwargs

            with unet_cache(pipeline, CACHES[name], steps):
                synchronize()
                started = time.perf_counter()
                generate(keep)
                synchronize()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(each) for name, each in times.items()}, latents


class _WarmError(Exception):
    """Ends the warm-up."""


def warm_up(pipeline: Any, generate: Generate) -> None:
    """Three steps: libraries choose their kernels in the first ones."""

    def stop(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        if step == 2:
            raise _WarmError
        return kwargs

    try:
        generate(stop)
    except _WarmError:
        pipeline.maybe_free_model_hooks()


def preview_seconds(pipeline: Any, latents: torch.Tensor, repeats: int = 5) -> float:
    """The shortest time of a preview, decoded, copied and encoded without anything beside it."""
    times = []
    for _ in range(repeats):
        synchronize()
        started = time.perf_counter()
        encode_jpeg(Image.fromarray(approximate_pixels(pipeline.vae, latents[0]).cpu().numpy()))
        times.append(time.perf_counter() - started)
    return min(times)


def psnr(reference: torch.Tensor, other: torch.Tensor) -> float:
    """In dB, relative to the reference's range."""
    one, two = reference.double(), other.double()
    error = (one - two).square().mean().clamp(min=1e-12)
    return float(10 * torch.log10((one.max() - one.min()).square() / error))


def training(options: argparse.Namespace) -> dict[str, float]:
    """One training with each, after another, with the card's peak memory above what was in use before."""
    import training as benchmark

    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--script", str(options.script), "--steps", str(TRAINING_STEPS), "--rounds", "1", "--rank", "16"]
        arguments += ["--batch-size", "1", "--frozen-text-encoders", "--no-class-images"]
        if not options.small:
            model = Path(folder) / "sdxl"
            save_on_device(model)
            arguments += ["--model", str(model), "--resolution", "1024"]
        sys.argv = ["training.py", *arguments]
        read = benchmark.read_options()
        with peak_memory() as reference_peak:
            reference = benchmark.take_reference(read, Path(folder))
        with peak_memory() as own_peak:
            own = benchmark.take_ours(read, Path(folder))
    memory = [reference.peak_bytes, own.peak_bytes]
    if torch.cuda.is_available():
        memory = [*reference_peak, *own_peak]
    return {
        "speed": reference.seconds / own.seconds,
        "memory": memory[1] / memory[0],
        "reference_seconds": reference.seconds,
        "seconds": own.seconds,
    }


def save_on_device(folder: Path) -> None:
    """SDXL with random weights, made on the card and written in half precision, 7 GB."""
    from sdxl_base import build_pipeline

    pipeline = build_pipeline(find_device().torch_device)
    pipeline.save_pretrained(folder)
    del pipeline
    torch.cuda.empty_cache()


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """The card's peak memory in use by other processes, sampled ten times a second; empty without a card."""
    peak: list[int] = []
    if not torch.cuda.is_available():
        yield peak
        return
    begun, done = used_bytes(), threading.Event()
    peak.append(0)

    def sample() -> None:
        while not done.wait(0.1):
            peak[0] = max(peak[0], used_bytes() - begun)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def used_bytes() -> int:
    free, total = torch.cuda.mem_get_info()
    return total - free


def cold_start(options: argparse.Namespace) -> dict[str, float]:
    """A new process: import, load the small model, and draw an image of four steps."""
    program = (
        "from pathlib import Path\n"
        "from darkroom_runner.models.device import find_device\n"
        "from darkroom_runner.models.pretrained import SDXL, find_pretrained, load_pipeline\n"
        "device = find_device()\n"
        f"model = find_pretrained({SMALL_SDXL!r}, SDXL, Path({str(MODELS)!r}))\n"
        "pipeline = load_pipeline(model, device.inference_dtype, device.torch_device)\n"
        "pipeline('a red circle', num_inference_steps=4)\n"
    )
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return {"seconds": time.perf_counter() - started}


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, float]]] = {
    "tests": tests,
    "images": images,
    "clip": clip,
    "training": training,
    "cold-start": cold_start,
}

if __name__ == "__main__":
    main()
