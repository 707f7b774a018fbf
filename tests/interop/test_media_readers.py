"""Our images and clips in other programs: prompts, settings, provenance, colours.

Readers from PyPI have an environment each; ExifReader comes from npm. exiftool, ffprobe and Chromium are programs of
the machine: their tests are skipped where they are missing.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.interop_environments import CACHE, interpreter

from darkroom_contract.base_models import UsedModel
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.images import ImageFormat, Images
from darkroom_runner.sampling.mp4 import write_mp4
from darkroom_runner.sampling.mp4_xmp import append_xmp
from darkroom_runner.sampling.web_ui_samplers import WebUiSampler
from darkroom_runner.tasks.image_files import save_image
from darkroom_runner.tasks.output_metadata import clip_metadata, image_metadata
from darkroom_runner.tasks.xmp import GENERATED, xmp_packet

SCRIPTS = Path(__file__).parent / "readers"
EXIFREADER = "exifreader@4.46.0"
PROMPT, NEGATIVE = "a (red:1.2) dog – 小狗", "blurry, dark"
COLOURS = [(220, 30, 30), (30, 180, 60), (200, 150, 120), (40, 60, 200)]
SPEC = GenerateJobSpec.from_dict(
    {"prompt": PROMPT, "negativePrompt": NEGATIVE, "modelId": "my-dog", "images": {"seed": 7, "clipSkip": 1}}
)
USED = UsedModel(reference="owner/base", commit=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image in each format, and a clip: four colours, a quarter each."""
    folder = tmp_path_factory.mktemp("media")
    chart = Image.new("RGB", (128, 128))
    for number, colour in enumerate(COLOURS):
        chart.paste(colour, (number % 2 * 64, number // 2 * 64, number % 2 * 64 + 64, number // 2 * 64 + 64))
    metadata = image_metadata(SPEC, USED, ["f" * 64], 7, chart.size, ["a" * 64])
    for kind in ImageFormat:
        sampler = WebUiSampler("DPM++ 2M", "Karras")
        save_image(chart, folder / f"image{kind.suffix}", metadata, Images(format=kind), sampler)
    clip, settings = folder / "clip.mp4", clip_metadata(SPEC, USED, {"picture": metadata})
    write_mp4([chart] * 6, clip, 7, json.dumps(settings))
    append_xmp(clip, xmp_packet(settings))
    return folder


@pytest.fixture(scope="module")
def images(folder: Path) -> list[Path]:
    return [folder / f"image{kind.suffix}" for kind in ImageFormat]


def run(*command: Any) -> Any:
    """The JSON that a program prints last."""
    variables = {"PATH": os.environ["PATH"], "HOME": "/tmp"}
    done = subprocess.run([str(each) for each in command], env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def program(*names: str) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"{names[0]} is not installed on this machine")
    return found


def test_sd_parsers_reads_prompt_and_sampler(images: list[Path]) -> None:
    """Release 0.6 knows PNG, JPEG and WebP only."""
    files = [path for path in images if path.suffix != ".avif"]

    found = run(interpreter("sd-parsers-0.6"), SCRIPTS / "read_with_sd_parsers.py", *files)

    for name in (path.name for path in files):
        assert found[name] is not None, name
        assert (found[name]["prompt"], found[name]["negative"]) == (PROMPT, NEGATIVE), name
        assert found[name]["sampler"] == ["DPM++ 2M"], name
        assert [str(seed) for seed in found[name]["seed"]] == ["7"], name


def test_sd_prompt_reader_reads_prompt_and_parameters(images: list[Path]) -> None:
    """Release 1.3 knows PNG, JPEG and WebP only."""
    files = [path for path in images if path.suffix != ".avif"]

    found = run(interpreter("sd-prompt-reader-1.3"), SCRIPTS / "read_with_sd_prompt_reader.py", *files)

    for name in (path.name for path in files):
        assert found[name]["tool"] == "A1111 webUI", name
        assert (found[name]["prompt"], found[name]["negative"]) == (PROMPT, NEGATIVE), name
        assert found[name]["parameters"]["seed"] == "7", name


def test_exifreader_reads_parameters_and_provenance(images: list[Path]) -> None:
    node, npm, modules = program("node"), program("npm"), CACHE / EXIFREADER
    if not (modules / "node_modules" / "exifreader").exists():
        modules.mkdir(parents=True, exist_ok=True)
        subprocess.run([npm, "install", "--silent", "--no-audit", "--prefix", modules, EXIFREADER], check=True)

    found = run(node, SCRIPTS / "read_with_exifreader.js", modules / "node_modules", *images)

    for path in images:
        each = found[path.name]
        assert each["source"].rpartition("/")[2] == GENERATED.rpartition("/")[2], path.name
        assert json.loads(each["metadata"])["seed"] == 7, path.name
        assert "Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras" in each["parameters"], path.name


def test_exiftool_reads_the_xmp_of_images_and_clips(folder: Path, images: list[Path]) -> None:
    found = run(program("exiftool"), "-json", "-n", "-G1", "-validate", "-warning", *images, folder / "clip.mp4")
    found_all = run(program("exiftool"), "-json", "-n", *images, folder / "clip.mp4")

    for each, tags in zip(found, found_all, strict=True):
        assert tags["DigitalSourceType"] == GENERATED, each
        assert tags["CreatorTool"].startswith("Darkroom"), each
        assert PROMPT in tags["Metadata"], each
    for tags in found_all[1:4]:
        assert tags["UserComment"].startswith(f"{PROMPT}\nNegative prompt: {NEGATIVE}\nSteps: 30"), tags["FileName"]
        assert tags["ColorSpace"] == 1


def test_ffprobe_reads_the_clip(folder: Path) -> None:
    done = run(
        program("ffprobe"), "-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json",
        folder / "clip.mp4",
    )  # fmt: skip

    stream = done["streams"][0]
    assert (stream["codec_name"], stream["nb_read_frames"], stream["color_space"]) == ("h264", "6", "bt709")
    assert json.loads(done["format"]["tags"]["comment"])["picture"]["seed"] == 7


PAGE = """<!doctype html><body><script>
const files = FILES;
const read = (source, width, height) => {
  const canvas = document.createElement("canvas");
  canvas.width = width; canvas.height = height;
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0);
  return [[1, 1], [3, 1], [1, 3], [3, 3]].map(([x, y]) =>
    [...context.getImageData(x * width / 4, y * height / 4, 1, 1).data].slice(0, 3));
};
const load = (name, url) => new Promise((done) => {
  const video = name.endsWith(".mp4");
  const media = document.createElement(video ? "video" : "img");
  media.muted = true;
  media.onload = () => done([name, read(media, media.naturalWidth, media.naturalHeight)]);
  media.onloadeddata = () => { media.currentTime = 0.3; };
  media.onseeked = () => done([name, read(media, media.videoWidth, media.videoHeight)]);
  media.onerror = () => done([name, null]);
  media.src = url;
});
Promise.all(Object.entries(files).map(([name, url]) => load(name, url))).then((all) => {
  document.body.innerHTML = "";
  document.body.textContent = "RES" + "ULT" + JSON.stringify(Object.fromEntries(all)) + "END";
});
</script></body>"""


def test_chromium_shows_the_colours_of_images_and_clips(folder: Path, images: list[Path], tmp_path: Path) -> None:
    import base64

    types = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".avif": "image/avif"}
    files = {
        path.name: f"data:{types.get(path.suffix, 'video/mp4')};base64,{base64.b64encode(path.read_bytes()).decode()}"
        for path in [*images, folder / "clip.mp4"]
    }
    page = tmp_path / "page.html"
    page.write_text(PAGE.replace("FILES", json.dumps(files)))
    command = [
        program("chromium", "chromium-browser", "google-chrome"), "--headless=new", "--no-sandbox", "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    # Video is decoded in another process: the page may be printed before its frame has arrived.
    for _attempt in range(5):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if "RESULT" in done.stdout:
            break

    assert "RESULT" in done.stdout, done.stderr[-2000:]
    found = json.loads(done.stdout.split("RESULT")[-1].split("END")[0])
    assert found.keys() == files.keys()
    for name, colours in found.items():
        assert colours is not None, f"{name} is not decoded"
        for shown, drawn in zip(colours, COLOURS, strict=True):
            assert max(abs(a - b) for a, b in zip(shown, drawn, strict=True)) <= 8, (name, shown, drawn)
