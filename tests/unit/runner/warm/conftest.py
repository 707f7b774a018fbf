"""Fixtures of hand-overs: real runner processes, Valkey and S3; the tests act as the operator."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.warm_pods import WarmPod


@pytest.fixture
def open_pod(start_run: Callable[..., Any], tmp_path: Path, redis_url: str) -> Iterator[Callable[[], WarmPod]]:
    pods = list[WarmPod]()

    def create() -> WarmPod:
        pods.append(WarmPod(start_run, tmp_path, redis_url))
        return pods[-1]

    yield create
    for pod in pods:
        pod.close()


@pytest.fixture
def pod(open_pod: Callable[[], WarmPod]) -> WarmPod:
    return open_pod()
