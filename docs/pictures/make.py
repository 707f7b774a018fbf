"""Make the pictures of README.md, docs/training.md and docs/drawing.md from a real run: `make pictures`.

Starts `darkroom up` in a temporary folder, trains a LoRA on examples/photos with sample images on the way, draws the
subject with it, and composes the results. The files of the run stay in build/pictures, so a second call only composes;
`rm -r build/pictures` forces a new run. `--gateway URL` uses a running gateway instead, `--only drawing` makes those of
docs/drawing.md, without a training. On two idle CPU cores it takes
some minutes.
"""

import argparse
from pathlib import Path

import av
import drawing
import httpx
from gateway import darkroom_up, download, existing, submit, wait_for
from PIL import Image, ImageDraw, ImageFont

from darkroom_local.demo import script

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
PHOTOS = sorted((REPOSITORY / "examples" / "photos").glob("*.png"))
RAW = REPOSITORY / "build" / "pictures"

MODEL_ID = "readme-star"
SAMPLE_PROMPTS = ("a photo of sks star, olive background", "a red circle, navy background")
"""Of the subject, and of what should stay as it was."""
TRAIN = {**script.TRAIN, "model_id": MODEL_ID, "validation_prompts": SAMPLE_PROMPTS, "validation_steps": 60}
SEEDS = {"olive": 3, "navy": 0}
"""Of the pictures with the LoRA, by background. The first is animated. No photo has one of these backgrounds."""
FIRST = next(iter(SEEDS))

CELL, GAP, MARGIN, LABEL = 176, 10, 24, 34
"""In pixels: a picture's side, between two, around all, and a line of text."""
SHEET_PX = 1000
"""Longest side of the sheet of sample images."""
CARD, INK, MUTED, ACCENT = "#ffffff", "#1f2328", "#59636e", "#c2410c"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", help="address of a running gateway; without it, `darkroom up` is started")
    parser.add_argument("--only", choices=("drawing", "training"), help="make a part of the pictures")
    options = parser.parse_args()
    RAW.mkdir(parents=True, exist_ok=True)
    parts = {"training": (RAW / "clip.mp4", run_jobs), "drawing": (RAW / drawing.LAST, drawing.run_jobs)}
    wanted = {name: each for name, each in parts.items() if options.only in (None, name)}
    missing = [run for last, run in wanted.values() if not last.exists()]
    if missing:
        with darkroom_up() if options.gateway is None else existing(options.gateway) as client:
            for run in missing:
                run(client, RAW)
    if "training" in wanted:
        compose_training()
    if "drawing" in wanted:
        drawing.compose(RAW, HERE)


def compose_training() -> None:
    samples = Image.open(RAW / "samples.png").convert("RGB")
    samples.thumbnail((SHEET_PX, SHEET_PX), Image.Resampling.LANCZOS)
    samples.save(HERE / "samples.webp", quality=88, method=6)
    compose_strip().save(HERE / "strip.webp", quality=88, method=6)
    save_clip(HERE / "clip.webp")


# ---- The run ----


def run_jobs(client: httpx.Client, raw: Path) -> None:
    """Submit everything at once: the pictures wait in the queue for the training."""
    files = [("files", (photo.name, photo.read_bytes(), "image/png")) for photo in PHOTOS]
    trained = submit(client, "/train", params=TRAIN, files=files)
    drawn = {
        background: submit(
            client,
            "/generate/lora",
            params={
                "prompt": f"{TRAIN['prompt']}, {background} background",
                "model_id": MODEL_ID,
                "guidance_scale": 2,
                "seed": seed,
                "cache_profile": "Disabled",
                **({"allow_motion": True, **script.MOTION} if background == FIRST else {}),
            },
        )
        for background, seed in SEEDS.items()
    }
    sheet = wait_for(client, trained, "/result")["files"]
    download(next(each["url"] for each in sheet if each["name"].endswith("-samples.png")), raw / "samples.png")
    for background, task_id in drawn.items():
        result = wait_for(client, task_id)
        download(result["images"][0]["url"], raw / f"{background}.png")
        if "video" in result:
            clip = result["video"]["url"]
    download(clip, raw / "clip.mp4")


# ---- The pictures ----


def frames_of_clip() -> list[Image.Image]:
    with av.open(str(RAW / "clip.mp4")) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def compose_strip() -> Image.Image:
    """Three groups from left to right: the photos, pictures with the LoRA, frames of the clip."""
    frames = frames_of_clip()
    photos = [Image.open(path).convert("RGB") for path in PHOTOS]
    drawn = [Image.open(RAW / f"{background}.png").convert("RGB") for background in SEEDS]
    clip = frames[:5:2]
    groups = [
        ("5 photos", "you upload them", photo_grid(photos)),
        ("Images", f'"{TRAIN["prompt"]}, {" / ".join(SEEDS)} background"', row(drawn)),
        ("Clip", f"three of its {len(frames)} frames", row(clip)),
    ]
    arrow = 56
    width = 2 * MARGIN + sum(picture.width for _, _, picture in groups) + arrow * (len(groups) - 1)
    card = Image.new("RGB", (width, 2 * MARGIN + CELL + 2 * LABEL), CARD)
    draw, left = ImageDraw.Draw(card), MARGIN
    for number, (title, caption, picture) in enumerate(groups):
        if number:
            draw_arrow(draw, left - arrow, MARGIN + CELL // 2, arrow)
        card.paste(picture, (left, MARGIN))
        draw.text((left, MARGIN + CELL + 10), title, INK, ImageFont.load_default(19))
        draw.text((left, MARGIN + CELL + 37), caption, MUTED, ImageFont.load_default(15))
        left += picture.width + arrow
    return card


def row(pictures: list[Image.Image]) -> Image.Image:
    strip = Image.new("RGB", (len(pictures) * (CELL + GAP) - GAP, CELL), CARD)
    for number, picture in enumerate(pictures):
        strip.paste(picture.resize((CELL, CELL), Image.Resampling.LANCZOS), (number * (CELL + GAP), 0))
    return strip


def photo_grid(photos: list[Image.Image]) -> Image.Image:
    """One large photo, and the other four beside it in two rows."""
    small = (CELL - GAP) // 2
    grid = Image.new("RGB", (CELL + 2 * (small + GAP), CELL), CARD)
    grid.paste(photos[0].resize((CELL, CELL), Image.Resampling.LANCZOS), (0, 0))
    for number, photo in enumerate(photos[1:5]):
        left, top = CELL + GAP + number % 2 * (small + GAP), number // 2 * (small + GAP)
        grid.paste(photo.resize((small, small), Image.Resampling.LANCZOS), (left, top))
    return grid


def draw_arrow(draw: ImageDraw.ImageDraw, left: int, middle: int, width: int) -> None:
    start, end = left + 12, left + width - 12
    draw.line([(start, middle), (end - 6, middle)], fill=ACCENT, width=4)
    draw.polygon([(end - 12, middle - 9), (end, middle), (end - 12, middle + 9)], fill=ACCENT)


def save_clip(path: Path) -> None:
    """The clip, forwards and backwards, so that it loops without a jump."""
    frames = [frame.resize((256, 256), Image.Resampling.LANCZOS) for frame in frames_of_clip()]
    loop = [*frames, *frames[-2:0:-1]]
    loop[0].save(path, save_all=True, append_images=loop[1:], duration=143, loop=0, quality=80, method=6)


if __name__ == "__main__":
    main()
