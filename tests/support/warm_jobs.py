"""Small generations for stories of warm runners, and what became of them."""

import hashlib
import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from PIL import Image

from support.darkroom_up import Darkroom

QUICK = {"steps": 2, "width": 64, "height": 64, "previewSteps": 0}


def a_picture(name: str, prompt: str, **spec: Any) -> dict[str, Any]:
    """A GenerateJob of one small picture."""
    spec = {"prompt": prompt, "images": QUICK, **spec}
    return {"apiVersion": "darkroom.dev/v1alpha1", "kind": "GenerateJob", "metadata": {"name": name}, "spec": spec}


def apply_pictures(darkroom: Darkroom, prompts: Mapping[str, str]) -> None:
    """Submit jobs in this order, by their names."""
    items = [a_picture(name, prompt) for name, prompt in prompts.items()]
    darkroom.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def status_of(darkroom: Darkroom, name: str, kind: str = "generatejob") -> dict[str, Any]:
    """A job's status; empty until the operator has written one."""
    found: dict[str, Any] = darkroom.resource(kind, name).get("status", {})
    return found


def digest(darkroom: Darkroom, name: str) -> str:
    """SHA-256 of the pixels of a job's one picture: the file has the job's name in its metadata."""
    [picture] = [each for each in status_of(darkroom, name)["artifacts"] if each["contentType"] == "image/png"]
    content = darkroom.bucket.get_object(Bucket="darkroom", Key=picture["key"])["Body"].read()
    with Image.open(BytesIO(content)) as image:
        return hashlib.sha256(image.tobytes()).hexdigest()
