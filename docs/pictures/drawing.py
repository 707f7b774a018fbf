"""The pictures of docs/drawing.md. Called by make.py."""

from pathlib import Path
from typing import Any

import httpx
from gateway import download, submit, wait_for
from PIL import Image, ImageDraw, ImageFont

START = Path(__file__).resolve().parents[2] / "examples" / "pictures"
STRENGTHS = (0.2, 0.4, 0.6, 0.9)
SETTINGS = {"guidance_scale": 3, "steps": 25, "preview_steps": 0, "cache_profile": "Disabled"}
LAST = "inpainting.png"
"""The file that is made last: where it exists, all others do."""

SIDE, GAP, MARGIN, LABEL = 150, 10, 16, 30
"""In pixels: height of a picture, between two, around all, and a line of text."""
CARD, INK, EDGE = "#ffffff", "#1f2328", "#d1d9e0"

Labelled = list[tuple[str, Image.Image]]


def run_jobs(client: httpx.Client, raw: Path) -> None:
    """One job for each picture; all wait in the queue."""
    tasks = {
        **{f"strength-{each}.png": image_to_image(client, each) for each in STRENGTHS},
        LAST: inpainting(client),
    }
    for name, task_id in tasks.items():
        download(wait_for(client, task_id)["images"][0]["url"], raw / name)


def generate(client: httpx.Client, parts: tuple[str, ...], pictures: tuple[str, ...], **parameters: Any) -> str:
    files = [
        (part, (name, (START / name).read_bytes(), "image/png")) for part, name in zip(parts, pictures, strict=True)
    ]
    return submit(client, "/generate/sdxl", params={**SETTINGS, **parameters}, files=files or None)


def image_to_image(client: httpx.Client, strength: float) -> str:
    prompt = "a striped red circle on a navy background"
    return generate(client, ("image",), ("circle.png",), prompt=prompt, strength=strength)


def inpainting(client: httpx.Client) -> str:
    pictures = ("two-shapes.png", "two-shapes-mask.png")
    settings = {"prompt": "a red star on a navy background", "strength": 1, "seed": 1, "width": 256, "height": 128}
    return generate(client, ("image", "mask"), pictures, **settings)


def compose(raw: Path, target: Path) -> None:
    circle = [("start picture", picture(START / "circle.png"))]
    strengths = [(f"strength {each}", picture(raw / f"strength-{each}.png")) for each in STRENGTHS]
    save([*circle, *strengths], target / "strengths.webp")
    start = [("start picture", START / "two-shapes.png"), ("mask", START / "two-shapes-mask.png")]
    painted = [*start, ('"a red star on a navy background"', raw / LAST)]
    save([(label, picture(path)) for label, path in painted], target / "inpainting.webp")


def picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        width = round(image.width * SIDE / image.height)
        return image.convert("RGB").resize((width, SIDE), Image.Resampling.LANCZOS)


def save(pictures: Labelled, path: Path) -> None:
    """A row of pictures, each with its label below."""
    width = 2 * MARGIN + sum(each.width + GAP for _, each in pictures) - GAP
    card = Image.new("RGB", (width, 2 * MARGIN + SIDE + LABEL), CARD)
    draw, left = ImageDraw.Draw(card), MARGIN
    for label, each in pictures:
        card.paste(each, (left, MARGIN))
        draw.rectangle((left - 1, MARGIN - 1, left + each.width, MARGIN + SIDE), outline=EDGE)
        draw.text((left, MARGIN + SIDE + 8), label, INK, ImageFont.load_default(15))
        left += each.width + GAP
    card.save(path, quality=88, method=6)
