"""Progress from Redis in the status, and the health endpoint of the operator."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import redis
from support.operator_processes import Namespace, wait_until
from support.server_process import Process
from support.valkey import Valkey

from darkroom_contract.progress import STREAM_FIELD, Preview, ProgressEvent, Stage, stream_name
from darkroom_local.processes.ports import free_ports
from darkroom_operator.cache.cache import Cache
from darkroom_operator.cache.progress_reader import ProgressReader
from darkroom_operator.errors import SettingsError
from darkroom_operator.scheduling.slot import Slot


@pytest.fixture
def store(tmp_path: Path) -> Iterator["redis.Redis"]:
    """A real Redis."""
    with Valkey(tmp_path) as server:
        yield server.client


def now() -> datetime:
    return datetime.now(UTC)


def url(client: "redis.Redis") -> str:
    return f"redis://127.0.0.1:{client.connection_pool.connection_kwargs['port']}/0"


def test_the_newest_progress_of_a_run_is_in_its_status(
    namespace: Namespace, start_operator: Callable[..., Process], store: "redis.Redis"
) -> None:
    start_operator(DARKROOM_REDIS_URL=url(store))
    job = namespace.create_job("a")
    namespace.run_pod(namespace.wait_for_pod("a"))
    stream = stream_name(job["metadata"]["uid"])
    event = ProgressEvent(
        attempt=1,
        stage=Stage.DENOISING,
        step=3,
        total=12,
        progress_percentage=25.0,
        metrics={"sigma": 0.5},
        time=datetime.now(UTC),
    )
    store.xadd(stream, {STREAM_FIELD: event.model_dump_json(by_alias=True)})
    progress = wait_until(lambda: namespace.status("a").get("progress"), "progress shows")
    assert (progress["stage"], progress["step"], progress["total"]) == ("Denoising", 3, 12)
    assert progress["metrics"] == {"sigma": 0.5}


WARNING = "the progress event of job"


def test_invalid_progress_changes_nothing(
    namespace: Namespace, start_operator: Callable[..., Process], store: "redis.Redis"
) -> None:
    operator = start_operator(DARKROOM_REDIS_URL=url(store))
    job = namespace.create_job("a")
    pod = namespace.wait_for_pod("a")
    for number, rubbish in enumerate((b"\xff\xfe", b'{"attempt": "many"}'), start=1):
        store.xadd(stream_name(job["metadata"]["uid"]), {STREAM_FIELD: rubbish})
        wait_until(lambda number=number: operator.log().count(WARNING) >= number, "the operator has logged it")
    namespace.finish_pod(pod)
    namespace.wait_for_phase("a", "Succeeded")
    assert not operator.ended()


def test_an_unreachable_redis_changes_nothing(namespace: Namespace, start_operator: Callable[..., Process]) -> None:
    [port] = free_ports(1)
    operator = start_operator(DARKROOM_REDIS_URL=f"redis://127.0.0.1:{port}/0")
    namespace.create_job("a")
    pod = namespace.wait_for_pod("a")
    wait_until(lambda: "no live progress" in operator.log(), "the operator logs it once")
    namespace.finish_pod(pod)
    namespace.wait_for_phase("a", "Succeeded")


def test_it_reports_that_it_is_alive(namespace: Namespace, start_operator: Callable[..., Process]) -> None:
    [port] = free_ports(1)
    start_operator(DARKROOM_HEALTH_PORT=str(port), DARKROOM_HEALTH_HOST="127.0.0.1")
    namespace.create_job("a")
    namespace.wait_for_pod("a")
    answer = httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)
    assert (answer.status_code, answer.text) == (200, "ok\n")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"DARKROOM_SLOTS": "none"}, "DARKROOM_SLOTS is 'none'"),
        ({"DARKROOM_REDIS_URL": "no address"}, "DARKROOM_REDIS_URL is invalid"),
        ({"KUBECONFIG": "/nowhere"}, "can't be used"),
    ],
)
def test_invalid_settings_end_it_with_one_line(
    settings: dict[str, str], message: str, start_operator: Callable[..., Process]
) -> None:
    operator = start_operator(**settings)
    wait_until(operator.ended, "it ends")
    assert message in operator.log()
    assert "Traceback" not in operator.log()


@pytest.mark.parametrize("query", ["?protocol=2", "?protocol=3", "?legacy_responses=false"])
async def test_progress_is_read_from_every_form_of_response(query: str, store: "redis.Redis") -> None:
    event = ProgressEvent(attempt=1, stage=Stage.DENOISING, step=3, total=12, time=datetime.now(UTC))
    store.xadd(stream_name("uid"), {STREAM_FIELD: event.model_dump_json(by_alias=True)})
    cache, seen = Cache(), asyncio.Event()
    cache.leases.put("lease", Slot(number=0, uid="lease", version="1", holder="uid"))
    reader = asyncio.create_task(ProgressReader(url(store) + query, cache, seen.set, now).run())
    try:
        await asyncio.wait_for(seen.wait(), 30)
    finally:
        reader.cancel()
        await asyncio.wait([reader])
    assert cache.progress["uid"].step == 3


async def test_an_event_from_a_node_whose_clock_is_ahead_gets_the_current_time(store: "redis.Redis") -> None:
    ahead = ProgressEvent(attempt=1, stage=Stage.DENOISING, step=3, total=12, time=now() + timedelta(minutes=15))
    store.xadd(stream_name("uid"), {STREAM_FIELD: ahead.model_dump_json(by_alias=True)})
    cache, seen = Cache(), asyncio.Event()
    cache.leases.put("lease", Slot(number=0, uid="lease", version="1", holder="uid"))
    reader = asyncio.create_task(ProgressReader(url(store), cache, seen.set, now).run())
    try:
        await asyncio.wait_for(seen.wait(), 30)
    finally:
        reader.cancel()
        await asyncio.wait([reader])
    assert cache.progress["uid"].time <= now()


async def test_a_preview_is_not_kept_for_the_status(store: "redis.Redis") -> None:
    event = ProgressEvent(
        attempt=1,
        stage=Stage.DENOISING,
        step=3,
        preview=Preview(seed=7, step=3, jpeg="/9j/AAAA"),
        time=datetime.now(UTC),
    )
    store.xadd(stream_name("uid"), {STREAM_FIELD: event.model_dump_json(by_alias=True)})
    cache, seen = Cache(), asyncio.Event()
    cache.leases.put("lease", Slot(number=0, uid="lease", version="1", holder="uid"))
    reader = asyncio.create_task(ProgressReader(url(store), cache, seen.set, now).run())
    try:
        await asyncio.wait_for(seen.wait(), 30)
    finally:
        reader.cancel()
        await asyncio.wait([reader])
    assert (cache.progress["uid"].step, cache.progress["uid"].preview) == (3, None)


@pytest.mark.parametrize("query", ["protocol=4", "nonsense=1", "encoding=utf-99", "socket_timeout=soon"])
def test_a_redis_address_with_an_invalid_query_is_rejected_at_the_start(query: str) -> None:
    with pytest.raises(SettingsError, match="DARKROOM_REDIS_URL is invalid"):
        ProgressReader(f"redis://redis:6379/0?{query}", Cache(), lambda: None, now)
