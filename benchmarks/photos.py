"""Memory and time for the photos of a training run, from the bucket to the crops for the VAE, and of an upload.

    python benchmarks/photos.py                        1, 8 and 100 photos of 48 megapixels, and a panorama
    python benchmarks/photos.py --counts 1 8           fewer
    python benchmarks/photos.py --counts               only the cost of decoder processes

Each measurement is a new process that runs the runner's code on a real S3 server: it lists the folder, downloads and
checks every photo, then decodes and crops them one by one to SDXL's 1024 pixels, as `encode_photo` does, without the
VAE. One generated photo is stored under several names. Fails when more photos take more than 1.1 times the memory of
one. Finally it checks five phone photos in a decoder process, as the gateway does, and in this process as reference.
"""

import argparse
import io
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import describe_machine
from PIL import Image, ImageFilter

from darkroom_contract.photos.decoder import DecodingLimits, PhotoDecoder
from darkroom_contract.photos.reading import check_photo
from darkroom_contract.storage.s3_client import open_client

SIDE_PX = 1024
PHOTO_PX = (8000, 6000)
PHONE_PX = (4032, 3024)
PANORAMA_PX = (16_000, 64)
BUCKET = "photos"
ALLOWED_RATIO = 1.1
START_SECONDS = 30.0
ROUNDS = 5


def main() -> None:
    options = _read_options()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    print(describe_machine())
    if options.counts:
        compare_counts(options.counts)
    compare_processes()


def compare_counts(counts: list[int]) -> None:
    """Print time and memory of runs with these numbers of photos."""
    print(f"{'':>24} {'download and check':>19} {'decode and crop':>16} {'peak memory':>12} {'above imports':>14}")
    with tempfile.TemporaryDirectory(prefix="darkroom-context-") as folder, s3_server(Path(folder)) as environment:
        photo = draw_photo()
        peaks = {}
        for count in counts:
            name = f"{count} of {PHOTO_PX[0] * PHOTO_PX[1] // 10**6} MP"
            peaks[count] = run(name, store(environment, [photo] * count), environment)
        panorama = encode(Image.effect_noise(PANORAMA_PX, 50).convert("RGB"))
        run(f"1 of {PANORAMA_PX[0]}×{PANORAMA_PX[1]}", store(environment, [panorama]), environment)
    one = peaks[min(peaks)]
    worst = max(peaks.values()) / one
    print(f"peak memory relative to {min(peaks)}: {worst:.2f}")
    if worst > ALLOWED_RATIO:
        sys.exit(f"more photos take {worst:.2f} times the memory of {min(peaks)}; at most {ALLOWED_RATIO} is allowed")


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="*", default=[1, 8, 100], help="photos in a run")
    parser.add_argument("--measure", metavar="URI", help=argparse.SUPPRESS)
    return parser.parse_args()


def compare_processes() -> None:
    """Print the time for checking five photos, alternately in this process and in a decoder process."""
    photos = [encode(Image.effect_noise(PHONE_PX, 60).convert("RGB"))] * 5
    limits = DecodingLimits(memory_bytes=1024**3, seconds=60)
    here, there, starts = [], [], []
    for _ in range(ROUNDS):
        begun = time.monotonic()
        for photo in photos:
            check_photo(photo, "photo")
        here.append(time.monotonic() - begun)
        begun = time.monotonic()
        decoder = PhotoDecoder(limits)
        check_in(decoder, photos[:1])
        starts.append(time.monotonic() - begun - here[-1] / len(photos))
        begun = time.monotonic()
        check_in(decoder, photos)
        there.append(time.monotonic() - begun)
        decoder.kill()
    ratio = statistics.median(there) / statistics.median(here)
    print(f"5 of {PHONE_PX[0]}×{PHONE_PX[1]}, checked here: {statistics.median(here):.3f} s (median of {ROUNDS})")
    print(f"in a decoder process: {statistics.median(there):.3f} s, {ratio:.2f} times as long")
    print(f"its start, once: {statistics.median(starts):.3f} s")


def check_in(decoder: PhotoDecoder, photos: list[bytes]) -> None:
    for photo in photos:
        with tempfile.TemporaryFile() as file:
            file.write(photo)
            file.flush()
            decoder.check(file.fileno(), "photo")


# --- photos --------------------------------------------------------------------------------------------------------


def draw_photo() -> bytes:
    """A detailed JPEG of 48 megapixels, below the 5 MiB that each of a hundred photos may have."""
    noise = Image.effect_noise((PHOTO_PX[0] // 8, PHOTO_PX[1] // 8), 80).convert("RGB")
    return encode(noise.filter(ImageFilter.GaussianBlur(1)).resize(PHOTO_PX, Image.Resampling.BILINEAR))


def encode(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


# --- storage -------------------------------------------------------------------------------------------------------


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """Run the embedded S3 server; yields the environment variables of its clients."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keys = {"NANIO_ACCESS_KEY": "benchmark", "NANIO_SECRET_KEY": secrets.token_hex(16)}
    command = [sys.executable, "-m", "darkroom_local.s3", "--data-dir", str(folder), "--port", str(port)]
    server = subprocess.Popen(command, env=os.environ | keys, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    environment = {
        "DARKROOM_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "DARKROOM_S3_BUCKET": BUCKET,
        "DARKROOM_RUN": "{}",
        "AWS_ACCESS_KEY_ID": keys["NANIO_ACCESS_KEY"],
        "AWS_SECRET_ACCESS_KEY": keys["NANIO_SECRET_KEY"],
    }
    try:
        _wait_for(port)
        _client(environment).create_bucket(Bucket=BUCKET)
        yield environment
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("the S3 server does not respond")


def _client(environment: dict[str, str]) -> Any:
    return open_client(
        environment["DARKROOM_S3_ENDPOINT_URL"],
        "us-east-1",
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def store(environment: dict[str, str], photos: list[bytes]) -> str:
    """Store photos in a folder; returns its URI."""
    client, prefix = _client(environment), f"{secrets.token_hex(4)}/"
    for number, photo in enumerate(photos):
        client.put_object(Bucket=BUCKET, Key=f"{prefix}{number:03d}.jpg", Body=photo)
    return f"s3://{BUCKET}/{prefix}"


# --- one measurement -----------------------------------------------------------------------------------------------


def run(name: str, uri: str, environment: dict[str, str]) -> float:
    """Measure in a separate process and print the values; returns its peak memory in MiB."""
    command = [sys.executable, __file__, "--measure", uri]
    done = subprocess.run(command, env=os.environ | environment, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    times = f"{found['check_seconds']:17.2f} s {found['crop_seconds']:14.2f} s"
    print(
        f"{name:>24} {times} {found['peak_mib']:8.0f} MiB {found['peak_mib'] - found['imports_mib']:10.0f} MiB",
        flush=True,
    )
    return float(found["peak_mib"])


def measure(uri: str) -> dict[str, float]:
    """What a run does with its photos before the VAE."""
    from darkroom_contract.specs.dataset import Dataset
    from darkroom_runner.run.remarks import Remarks
    from darkroom_runner.run.storage import Storage
    from darkroom_runner.settings import Settings
    from darkroom_runner.training.buckets import square_frame
    from darkroom_runner.training.cached_latents import photo_crops
    from darkroom_runner.training.dataset import fetch_datasets

    storage, imports_mib = Storage(Settings.from_environment(os.environ)), _peak_mib()
    with tempfile.TemporaryDirectory(prefix="darkroom-context-") as folder:
        begun = time.monotonic()
        datasets = {"dataset": Dataset(uri=uri)}
        photos = fetch_datasets(storage, datasets, Path(folder), False, Remarks(), lambda photos, total: None)
        checked = time.monotonic()
        for photo in photos["dataset"]:
            photo_crops(photo, square_frame(photo.size_px, SIDE_PX), mirror=False)
        cropped = time.monotonic()
    return {
        "imports_mib": imports_mib,
        "peak_mib": _peak_mib(),
        "check_seconds": checked - begun,
        "crop_seconds": cropped - checked,
    }


def _peak_mib() -> float:
    """Peak memory of this process. getrusage would include that of the parent from before the exec."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
