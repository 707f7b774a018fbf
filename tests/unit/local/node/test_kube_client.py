"""The Kubernetes client: typed errors, a reflector that misses no change, and retries during an outage."""

import asyncio
import contextlib
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from support.holding_proxy import HoldingProxy

from darkroom_local.errors import ApiError, ConflictError, NotFoundError
from darkroom_local.kube.client import KubeClient
from darkroom_local.kube.kubeconfig import read_kubeconfig
from darkroom_local.kube.reflector import Reflector
from darkroom_local.kube.retry import retry_until_answered

TIMEOUT_SECONDS = 60


@pytest.fixture
async def client(api):
    async with KubeClient(read_kubeconfig(api.kubeconfig)) as client:
        yield client


@pytest.fixture
def path(api):
    yield f"/api/v1/namespaces/{api.namespace}/configmaps"
    api.remove_pods()


class Observed:
    """The collection as the reflector reported it last: names and values."""

    def __init__(self):
        self.now = {}
        self._changed = asyncio.Event()

    def __call__(self, objects):
        self.now = {each["metadata"]["name"]: (each.get("data") or {}).get("value") for each in objects.values()}
        self._changed.set()

    async def becomes(self, expected):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while self.now != expected:
                self._changed.clear()
                await self._changed.wait()


@contextlib.asynccontextmanager
async def reflected(client, path, **query):
    seen = Observed()
    task = asyncio.create_task(Reflector(client, path, seen, **query).run())
    yield seen
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def config_map(name, value, **labels):
    return {"metadata": {"name": name, "labels": labels}, "data": {"value": value}}


async def test_errors_are_typed(client, path):
    created = await client.create(path, config_map("a", "1"))

    with pytest.raises(NotFoundError):
        await client.get(f"{path}/b")
    with pytest.raises(ConflictError):
        await client.create(path, config_map("a", "2"))
    with pytest.raises(ConflictError):
        await client.patch(f"{path}/a", {"metadata": {"uid": "of another"}, "data": {"value": "2"}})
    with pytest.raises(ConflictError):
        await client.delete(f"{path}/a", uid="of another", grace_seconds=0)
    assert (await client.get(f"{path}/a"))["data"] == created["data"]


async def test_a_reflector_reports_existing_objects_and_changes(client, path):
    await client.create(path, config_map("a", "1"))

    async with reflected(client, path) as seen:
        await seen.becomes({"a": "1"})
        created = await client.create(path, config_map("b", "1"))
        await client.patch(f"{path}/a", {"data": {"value": "2"}})
        await seen.becomes({"a": "2", "b": "1"})
        await client.delete(f"{path}/b", uid=created["metadata"]["uid"], grace_seconds=0)
        await seen.becomes({"a": "2"})


async def test_a_reflector_notices_a_silent_watch(api, path, monkeypatch):
    monkeypatch.setattr("darkroom_local.kube.client.WATCH_SECONDS", 1)
    monkeypatch.setattr("darkroom_local.kube.client.OVERDUE_SECONDS", 1)
    connection = read_kubeconfig(api.kubeconfig)
    address = urlsplit(connection.server)
    proxy = HoldingProxy(address.port)
    proxy.hold(lambda request: b"watch=true" in request)
    async with (
        KubeClient(connection) as client,
        KubeClient(replace(connection, server=proxy.url + address.path)) as held,
    ):
        await client.create(path, config_map("a", "1"))
        async with reflected(held, path) as seen:
            await seen.becomes({"a": "1"})
            await client.create(path, config_map("b", "1"))
            await seen.becomes({"a": "1", "b": "1"})
    proxy.close()


async def test_a_reflector_drops_an_object_that_no_longer_matches_the_selector(client, path):
    async with reflected(client, path, labelSelector="colour=red") as seen:
        await client.create(path, config_map("a", "1", colour="blue"))
        await client.create(path, config_map("b", "1", colour="red"))
        await seen.becomes({"b": "1"})
        await client.patch(f"{path}/a", {"metadata": {"labels": {"colour": "red"}}})
        await client.patch(f"{path}/b", {"metadata": {"labels": {"colour": "blue"}}})
        await seen.becomes({"a": "1"})


async def logged(caplog, text):
    """Wait until the text is logged."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while text not in caplog.text:  # noqa: ASYNC110 (logging has no event to wait for)
            await asyncio.sleep(0.01)


async def test_a_reflector_misses_no_change_during_an_outage(api_server, client, path, caplog):
    await client.create(path, config_map("a", "1"))

    async with reflected(client, path) as seen:
        await seen.becomes({"a": "1"})
        api_server.kill()
        await logged(caplog, f"watching {path}")
        api_server.start()
        await client.patch(f"{path}/a", {"data": {"value": "2"}})
        await seen.becomes({"a": "2"})


async def test_a_request_is_retried_during_an_outage(api_server, client, path, caplog):
    api_server.kill()
    request = asyncio.create_task(retry_until_answered(lambda: client.create(path, config_map("a", "1"))))
    await logged(caplog, "the API server can't be reached")
    api_server.start()

    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert (await request)["data"] == {"value": "1"}


@pytest.mark.parametrize(("status", "is_final"), [(404, True), (409, True), (422, True), (429, False), (500, False)])
async def test_only_temporary_errors_are_retried(status, is_final):
    answers = [ApiError(status, "Reason", "why"), None]

    async def attempt():
        if error := answers.pop(0):
            raise error
        return {"fine": True}

    if is_final:
        with pytest.raises(ApiError, match=f"{status} Reason: why"):
            await retry_until_answered(attempt)
    else:
        assert await retry_until_answered(attempt) == {"fine": True}
