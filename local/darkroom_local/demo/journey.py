"""The demo's way through the gateway: submit both jobs, follow them, fetch what they made. Called by `demo.py`."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from darkroom_local.cluster.example_photos import FOLDER, example_photos
from darkroom_local.demo import script
from darkroom_local.demo.display import Display
from darkroom_local.demo.events import follow
from darkroom_local.demo.gateway import Gateway
from darkroom_local.demo.view import JobView
from darkroom_local.errors import DemoFailedError
from darkroom_local.kube.client import Json


@dataclass(frozen=True)
class Submitted:
    """A job that was accepted."""

    title: str
    answer: Json

    @property
    def task_id(self) -> str:
        return str(self.answer["task_id"])


async def submit(gateway: Gateway, max_steps: int | None) -> list[Submitted]:
    """Both jobs at once: the second waits in the queue until the first has made its model."""
    photos = example_photos()
    if not photos:
        raise DemoFailedError(f"there are no photos in {FOLDER}: run the demo from a checkout of the repository")
    parameters = script.TRAIN | ({"max_steps": max_steps} if max_steps is not None else {})
    training = Submitted("Learn the subject", await gateway.train(photos, _text(parameters)))
    generation = Submitted("Draw and animate it", await gateway.generate(_text(script.GENERATE)))
    return [training, generation]


async def watch(gateway: Gateway, jobs: list[Submitted], display: Display) -> None:
    """Show all jobs until all are over. Raises `DemoFailedError` as soon as one fails."""
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(_watch_one(gateway, job, display))
    except* DemoFailedError as errors:
        raise errors.exceptions[0] from None


async def _watch_one(gateway: Gateway, job: Submitted, display: Display) -> None:
    view = JobView()
    display.show(job.title, view)
    async with aclosing(follow(gateway, job.answer["events_url"], job.answer["job_url"])) as events:
        async for event in events:
            view = view.after(event)
            display.show(job.title, view)
    if view.phase != "Succeeded":
        raise DemoFailedError(f"{job.answer['kind']} {job.task_id} failed: {view.failure or view.phase}")


async def download(gateway: Gateway, job: Submitted, output: Path) -> list[Path]:
    """Pictures and video of a generation, through their signed links, into a folder; where they are now."""
    result = await gateway.read(job.answer["status_url"])
    files = [*result.get("images", []), *([result["video"]] if result.get("video") else [])]
    if len(files) < 2:
        raise DemoFailedError(f"{job.task_id} succeeded, but its links are {[each['name'] for each in files]}")
    paths = [output / Path(each["name"]).name for each in files]
    for each, path in zip(files, paths, strict=True):
        await gateway.download(each["url"], path)
    return paths


def _text(parameters: Mapping[str, object]) -> dict[str, str]:
    """Query parameters: booleans in lower case."""
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in parameters.items()}
