"""Clips: their size, their frames, and files that every browser plays."""

import json
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from darkroom_contract.specs import GenerateJobSpec
from darkroom_runner.video import animate, clip_size, write_mp4


def spec_of(**video: Any) -> GenerateJobSpec:
    return GenerateJobSpec.from_dict({"prompt": "a dog", "allowMotion": True, "video": {"steps": 2, **video}})


PICTURE = Image.radial_gradient("L").convert("RGB").resize((96, 96))


def film(pipeline: Any, **video: Any) -> list[Image.Image]:
    return animate(pipeline, PICTURE, spec_of(**video), lambda step, total: None)


@pytest.mark.parametrize(
    ("picture", "clip"),
    [((64, 64), (64, 64)), ((512, 512), (64, 64)), ((1024, 512), (96, 48)), ((100, 300), (32, 112))],
)
def test_a_clip_has_the_picture_s_proportions_and_the_model_s_number_of_pixels(
    svd: Any, picture: tuple[int, int], clip: tuple[int, int]
) -> None:
    assert clip_size(svd, picture) == clip


def test_frames_are_as_many_as_asked_for_or_the_model_s_own(svd: Any) -> None:
    assert len(film(svd)) == 4
    assert len(film(svd, frames=6, decodeChunkSize=2)) == 6


@pytest.mark.parametrize(
    "setting",
    [
        {"fps": 20},
        {"motionBucketId": 1},
        {"noiseAugStrength": 0.5},
        {"seed": 1},
        {"steps": 3},
        {"maxGuidanceScale": 9.0},
        {"minGuidanceScale": 2.0},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_every_setting_does_something(svd: Any, setting: dict[str, Any]) -> None:
    plain, changed = film(svd), film(svd, **setting)

    assert [frame.tobytes() for frame in plain] != [frame.tobytes() for frame in changed]


def test_a_clip_is_h264_in_an_mp4_that_starts_while_it_loads(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    frames = [Image.new("RGB", (64, 48), (40 * number, 0, 0)) for number in range(5)]

    write_mp4(frames, path, fps=7, comment=json.dumps({"prompt": "ein Hündchen"}, ensure_ascii=False))

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (64, 48, 7)
        assert json.loads(container.metadata["comment"]) == {"prompt": "ein Hündchen"}
        reds = [frame.to_image().getpixel((32, 24))[0] for frame in container.decode(video=0)]
    assert reds == pytest.approx([0, 40, 80, 120, 160], abs=8)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
