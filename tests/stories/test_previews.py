"""What an image looks like so far arrives on the event stream while it is drawn, and in no status."""

import base64
import json
from io import BytesIO
from itertools import pairwise
from typing import Any

from PIL import Image
from support.darkroom_up import Darkroom


def progress_events(darkroom: Darkroom, task_id: str) -> list[dict[str, Any]]:
    """All progress of a job, until its stream ends."""
    with darkroom.http.stream("GET", f"/jobs/{task_id}/events", timeout=120) as response:
        lines = list(response.iter_lines())
    pairs = pairwise(lines)
    return [json.loads(data.removeprefix("data: ")) for event, data in pairs if event == "event: progress"]


def test_previews_arrive_while_an_image_is_drawn(darkroom: Darkroom) -> None:
    task_id = darkroom.generate(prompt="a red circle on a navy background", steps=12, preview_steps=4, seed=5)

    previews = [each["preview"] for each in progress_events(darkroom, task_id) if each.get("preview")]

    assert {each["seed"] for each in previews} == {5}
    steps = [each["step"] for each in previews]
    assert steps
    assert steps == sorted(steps)
    assert max(steps) <= 12
    for each in previews:
        with Image.open(BytesIO(base64.b64decode(each["jpeg"]))) as picture:
            assert picture.format == "JPEG"
            assert max(picture.size) <= 256
    assert previews[-1]["jpeg"] not in json.dumps(darkroom.resource("generatejob", task_id))


def test_no_previews_with_zero(darkroom: Darkroom) -> None:
    task_id = darkroom.generate(prompt="a red circle on a navy background", steps=12, preview_steps=0)

    assert not [each for each in progress_events(darkroom, task_id) if each.get("preview")]
