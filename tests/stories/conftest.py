"""Local clusters for the stories: one that they share, and new ones for stories that break it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.darkroom_up import Darkroom
from support.warm_parent.installation import WarmParent


@pytest.fixture(scope="package")
def darkroom(tmp_path_factory: pytest.TempPathFactory, warm_cluster: WarmParent) -> Iterator[Darkroom]:
    """Shared: a story must leave its jobs finished or deleted."""
    shared = Darkroom(tmp_path_factory.mktemp("darkroom"), warm_cluster.python, program=warm_cluster.darkroom)
    shared.start()
    yield shared
    shared.close()


@pytest.fixture
def start_darkroom(tmp_path: Path, warm_cluster: WarmParent) -> Iterator[Callable[[], Darkroom]]:
    """Starts a cluster for this story alone."""
    started: list[Darkroom] = []

    def start() -> Darkroom:
        started.append(Darkroom(tmp_path, warm_cluster.python, program=warm_cluster.darkroom))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def store_photos(darkroom: Darkroom) -> Callable[[str, dict[str, bytes]], str]:
    """Uploads files to the bucket directly; returns the URI of their folder."""

    prefix = f"datasets/{darkroom.jobs_namespace}/"

    def store(folder: str, files: dict[str, bytes]) -> str:
        for name, content in files.items():
            darkroom.bucket.put_object(Bucket="darkroom", Key=f"{prefix}{folder}/{name}", Body=content)
        return f"s3://darkroom/{prefix}{folder}/"

    return store
