"""Memory of the gateway during large uploads at once. A section of gateway.py.

Eight clients import a LoRA each by `POST /v1/models`, all at the same time. The files have real headers, and zeros as
weights. The memory is sampled every 50 ms, and compared with that after a small import.
"""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from gateway_stack import open_gateway, open_stack, resident_mib

UPLOADS = 8
SAMPLE_SECONDS = 0.05
TIMEOUT_SECONDS = 180.0
MODULES = [f"lora_unet_input_blocks_7_1_transformer_blocks_{number}_attn1_to_q" for number in range(10)]
WIDTH = 1280
SMALL_BYTES = 1024**2


def measure(total_bytes: int) -> float:
    """By how many MiB the gateway's memory grew at most."""
    with open_stack(1, "train-running") as stack, open_gateway(stack) as (url, pid):
        small, large = stack.folder / "small.safetensors", stack.folder / "large.safetensors"
        write_lora(small, SMALL_BYTES)
        write_lora(large, total_bytes // UPLOADS)
        _import(url, small, "warm-up")
        before, done, most = resident_mib(pid), threading.Event(), list[float]()
        sampler = threading.Thread(target=_sample, args=(pid, done, most))
        sampler.start()
        began = time.monotonic()
        with ThreadPoolExecutor(UPLOADS) as clients:
            list(clients.map(lambda number: _import(url, large, f"model-{number}"), range(UPLOADS)))
        seconds = time.monotonic() - began
        done.set()
        sampler.join()
    size = UPLOADS * (total_bytes // UPLOADS) / 1024**2
    print(
        f"{UPLOADS} uploads, {size:.0f} MiB together, in {seconds:.0f} s ({size / seconds:.0f} MiB/s): "
        f"{before:.1f} MiB before, at most {max(most):.1f}",
        flush=True,
    )
    return max(most) - before


def write_lora(path: Path, size_bytes: int) -> None:
    """A LoRA in Kohya's form of about this size, as a sparse file."""
    rank = max(1, size_bytes // (len(MODULES) * 2 * 2 * WIDTH))
    header, position = {}, 0
    for module in MODULES:
        for name, shape in (("lora_down", [rank, WIDTH]), ("lora_up", [WIDTH, rank])):
            end = position + 2 * rank * WIDTH
            header[f"{module}.{name}.weight"] = {"dtype": "F16", "shape": shape, "data_offsets": [position, end]}
            position = end
    content = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(content).to_bytes(8, "little") + content)
        file.truncate(8 + len(content) + position)


def _import(url: str, path: Path, model_id: str) -> None:
    with path.open("rb") as file, httpx.Client(trust_env=False, timeout=TIMEOUT_SECONDS) as client:
        response = client.post(
            f"{url}/v1/models", params={"model_id": model_id, "prompt": "a dog"}, files={"file": (path.name, file)}
        )
    if response.status_code != 201:
        raise SystemExit(f"the import of {path.name} failed: {response.status_code} {response.text}")


def _sample(pid: int, done: threading.Event, most: list[float]) -> None:
    most.append(resident_mib(pid))
    while not done.wait(SAMPLE_SECONDS):
        most.append(resident_mib(pid))
