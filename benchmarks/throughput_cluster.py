"""The cluster side of benchmarks/throughput.py: a local cluster, its jobs, and the idle pod."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis.asyncio as redis

from darkroom_contract import environment
from darkroom_contract.handover import IDLE, LABEL_RUNNER_STATE
from darkroom_contract.names import API_VERSION, GROUP, VERSION, Kind
from darkroom_contract.progress import STREAM_FIELD, ProgressEvent, Stage, read_stream_entries, stream_name
from darkroom_contract.status import ConditionType, Phase, RunStart
from darkroom_local.cluster.local_cluster import ClusterOptions, LocalCluster
from darkroom_local.kube.client import KubeClient
from darkroom_local.kube.reflector import Reflector
from darkroom_local.node.journal import read_journal

Json = dict[str, Any]

TIMEOUT_SECONDS = 600.0
PROMPT = "a red star on a navy background"


@dataclass
class JobTimes:
    """One job, in seconds since the epoch."""

    uid: str
    admitted: float | None = None
    first_step: float | None = None
    phase: Phase | None = None
    start: RunStart = RunStart.COLD

    @property
    def first_step_seconds(self) -> float:
        """From its admission to its first denoising step."""
        assert self.admitted is not None
        assert self.first_step is not None
        return self.first_step - self.admitted


class Cluster:
    """A running local cluster and its clients."""

    def __init__(self, folder: Path, model_root: Path | None, warm_seconds: int) -> None:
        settings = {environment.WARM_SECONDS: str(warm_seconds)}
        options = ClusterOptions(folder, gateway_port=0, model_root=model_root, operator_environment=settings)
        self._cluster = LocalCluster(options)
        self._open = AsyncExitStack()
        self._kube: KubeClient
        self._redis: redis.Redis

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._cluster.start)
        self._open.push_async_callback(asyncio.to_thread, self._cluster.kill_all)
        self._kube = await self._open.enter_async_context(KubeClient(self._cluster.connection))
        self._redis = redis.Redis.from_url(self._cluster.redis_url)
        self._open.push_async_callback(self._redis.aclose)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def run(self, prefix: str, count: int, steps: int, base_model: str | None) -> list[JobTimes]:
        """Submit this many jobs at once, and return when all have succeeded."""
        version = (await self._kube.get(self._jobs_path))["metadata"]["resourceVersion"]
        following = asyncio.create_task(self._follow(version, prefix, count))
        await asyncio.gather(*(self._submit(f"{prefix}-{number}", steps, base_model) for number in range(count)))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            jobs = await following
        for job in jobs:
            job.first_step = await self._first_step(job.uid)
        return jobs

    async def idle_bytes(self) -> int:
        """Memory of the idle pod."""
        pod = await self._idle_pod()
        [run] = [each for each in read_journal(self._cluster.journal_path) if each.pod_uid == pod["metadata"]["uid"]]
        return sum(_proportional_set_bytes(pid) for pid in _process_tree(run.pid))

    async def delete_idle_pod(self) -> None:
        metadata = (await self._idle_pod())["metadata"]
        path = f"{self._pods_path}/{metadata['name']}"
        await self._kube.delete(path, uid=metadata["uid"], grace_seconds=5)
        await self._until(lambda pods: all(each["metadata"]["uid"] != metadata["uid"] for each in pods))

    @property
    def _jobs_path(self) -> str:
        return f"/apis/{GROUP}/{VERSION}/namespaces/{self._cluster.namespace}/{Kind.GENERATE.plural}"

    @property
    def _pods_path(self) -> str:
        return f"/api/v1/namespaces/{self._cluster.namespace}/pods"

    async def _submit(self, name: str, steps: int, base_model: str | None) -> None:
        spec: Json = {"prompt": PROMPT, "images": {"steps": steps}} | ({"baseModel": base_model} if base_model else {})
        document = {"apiVersion": API_VERSION, "kind": Kind.GENERATE.value, "metadata": {"name": name}, "spec": spec}
        await self._kube.create(self._jobs_path, document)

    async def _follow(self, version: str, prefix: str, count: int) -> list[JobTimes]:
        """Watch the jobs until all have ended. Raises `RuntimeError` for a failed one."""
        jobs: dict[str, JobTimes] = {}
        async with aclosing(self._watch(version)) as documents:
            async for document in documents:
                metadata, status = document["metadata"], document.get("status") or {}
                if not metadata["name"].startswith(f"{prefix}-"):
                    continue
                job = jobs.setdefault(metadata["uid"], JobTimes(metadata["uid"]))
                if job.admitted is None and _is_admitted(status):
                    job.admitted = time.time()
                job.phase, job.start = status.get("phase"), RunStart(status.get("runStart", RunStart.COLD))
                if job.phase == Phase.FAILED:
                    raise RuntimeError(f"{metadata['name']} failed: {status['conditions']}")
                if sum(each.phase == Phase.SUCCEEDED for each in jobs.values()) == count:
                    return list(jobs.values())
        raise AssertionError("a watch has no end")

    async def _watch(self, version: str) -> AsyncGenerator[Json]:
        """Every version of every job; the server ends a single watch after a minute."""
        while True:
            async for event in self._kube.watch(self._jobs_path, version):
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    yield event["object"]

    async def _first_step(self, uid: str) -> float:
        for _, fields in read_stream_entries(await self._redis.xrange(stream_name(uid))):
            event = ProgressEvent.model_validate_json(fields[STREAM_FIELD])
            if event.stage is Stage.DENOISING and event.step >= 1:
                return event.time.timestamp()
        raise RuntimeError(f"no denoising step of {uid} is on its stream")

    async def _idle_pod(self) -> Json:
        [pod] = [each for each in await self._until(lambda pods: any(map(_is_idle, pods))) if _is_idle(each)]
        return pod

    async def _until(self, condition: Callable[[list[Json]], bool]) -> list[Json]:
        """The pods, once the condition holds."""
        found: asyncio.Future[list[Json]] = asyncio.get_running_loop().create_future()

        def changed(pods: dict[str, Json]) -> None:
            if not found.done() and condition(list(pods.values())):
                found.set_result(list(pods.values()))

        watching = asyncio.create_task(Reflector(self._kube, self._pods_path, changed).run())
        try:
            return await asyncio.wait_for(found, TIMEOUT_SECONDS)
        finally:
            watching.cancel()


def _is_admitted(status: Json) -> bool:
    found = status.get("conditions") or []
    return any(each["type"] == ConditionType.ADMITTED and each["status"] == "True" for each in found)


def _is_idle(pod: Json) -> bool:
    return bool(pod["metadata"]["labels"].get(LABEL_RUNNER_STATE) == IDLE)


def _process_tree(pid: int) -> list[int]:
    """The process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _process_tree(int(child)))]


def _proportional_set_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    [kib] = [line.split()[1] for line in lines if line.startswith("Pss:")]
    return int(kib) * 1024
