"""Calls of backends: a caller gets an error at the deadline, and the call counts until its thread has ended."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import to_thread

from darkroom_gateway.backends import calls
from darkroom_gateway.backends.calls import Backend, Backends
from darkroom_gateway.backends.deadlines import upload_seconds
from darkroom_gateway.errors import ClusterUnavailableError, StorageUnavailableError, UnavailableError
from darkroom_gateway.health import readiness
from darkroom_gateway.health.readiness import BackendName, ReadinessChecks

SHORT = 0.2


@pytest.fixture
def backend() -> Backend:
    """A backend with two concurrent calls."""
    return Backend("Object storage", 2, lambda detail, begun: StorageUnavailableError(f"{detail} begun={begun}"))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "TURN_SECONDS", 60)


async def refusal(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> UnavailableError:
    """The error of a call beyond the concurrency limit."""
    with monkeypatch.context() as patch:
        patch.setattr(calls, "TURN_SECONDS", SHORT)
        with pytest.raises(UnavailableError, match="overloaded or hangs") as found:
            await backend.call(60, int, "7")
    return found.value


@asynccontextmanager
async def hanging(backend: Backend, calls: int) -> AsyncIterator[threading.Event]:
    """Abandoned calls that hang until the event is set or the context ends."""
    go = threading.Event()
    for _ in range(calls):
        with pytest.raises(StorageUnavailableError, match="did not answer"):
            await backend.call(0.01, go.wait)
    try:
        yield go
    finally:
        go.set()


async def test_call_returns_the_result_or_raises_the_error_of_its_function(backend: Backend) -> None:
    assert await backend.call(60, int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await backend.call(60, int, "seven")


async def test_hanging_call_is_abandoned_at_its_deadline(backend: Backend) -> None:
    begin = time.monotonic()
    async with hanging(backend, 1):
        assert time.monotonic() - begin < 60  # Without a deadline: until the test's own timeout.


async def test_abandoned_call_counts_until_its_thread_has_ended(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hanging(backend, 2) as go:
        error = str(await refusal(backend, monkeypatch))
        assert "2 calls are in progress" in error
        assert "begun=False" in error
        go.set()
        assert await backend.call(60, int, "7") == 7


async def test_cancelled_caller_does_not_release_its_slot_early(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    callers = [asyncio.create_task(backend.call(60, go.wait)) for _ in range(2)]
    await anyio.wait_all_tasks_blocked()
    for each in callers:
        each.cancel()
    await asyncio.wait(callers)

    await refusal(backend, monkeypatch)
    go.set()
    assert await backend.call(60, int, "7") == 7


async def test_waiting_request_proceeds_as_soon_as_a_call_ends(backend: Backend) -> None:
    async with hanging(backend, 2) as go:
        waiting = asyncio.create_task(backend.call(60, int, "7"))
        await anyio.wait_all_tasks_blocked()
        assert not waiting.done()
        go.set()
        assert await waiting == 7


async def test_full_backend_uses_no_threads_of_other_backends(backend: Backend) -> None:
    other = Backend("The API server", 2, lambda detail, _: ClusterUnavailableError(detail))
    async with hanging(backend, 2):
        assert to_thread.current_default_thread_limiter().borrowed_tokens == 0
        assert await other.call(60, int, "7") == 7


async def test_abandoned_creation_is_maybe_done_and_one_that_never_started_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "CLUSTER_CALLS", 1)
    cluster, go = Backends().cluster, threading.Event()
    try:
        with pytest.raises(ClusterUnavailableError, match="The API server") as given_up:
            await cluster.call(0.01, go.wait)
        never_started = await refusal(cluster, monkeypatch)
    finally:
        go.set()

    assert given_up.value.maybe_done
    assert isinstance(never_started, ClusterUnavailableError)
    assert not never_started.maybe_done
    assert never_started.retry_after_seconds
    assert "The API server" in str(never_started)


async def test_error_after_the_deadline_is_not_reported_by_the_event_loop(backend: Backend) -> None:
    loop_errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: loop_errors.append(context))
    go = threading.Event()

    def fail_late() -> None:
        go.wait()
        raise ValueError("late")

    call = await backend.begin(fail_late)
    with pytest.raises(StorageUnavailableError):
        await backend.result(0.01, call)
    go.set()
    await asyncio.wait({call})
    del call
    await asyncio.sleep(0)

    assert loop_errors == []


def test_larger_photos_have_longer_timeouts() -> None:
    mib = 1024**2
    assert upload_seconds(50 * mib) - upload_seconds(0) == 50


class FakeBackends:
    """Two checks, with the number of their calls."""

    def __init__(self) -> None:
        self.asked = dict.fromkeys(BackendName, 0)
        self.does: dict[BackendName, Callable[[], object]] = {name: lambda: None for name in BackendName}
        self.readiness = ReadinessChecks({name: self._check_of(name) for name in BackendName})

    def _check_of(self, name: BackendName) -> Callable[[], None]:
        def check() -> None:
            self.asked[name] += 1
            self.does[name]()

        return check


async def test_readiness_has_a_deadline_and_names_the_hanging_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "READY_SECONDS", SHORT)
    backends, go = FakeBackends(), threading.Event()
    backends.does[BackendName.STORAGE] = go.wait
    try:
        faults = await backends.readiness.faults()
        assert faults[BackendName.STORAGE] == "Object storage did not answer within 0.2 s."
    finally:
        go.set()


async def test_checks_do_not_pile_up_behind_a_hanging_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "READY_SECONDS", SHORT)
    backends, go = FakeBackends(), threading.Event()
    backends.does[BackendName.STORAGE] = go.wait
    try:
        found = await asyncio.gather(*(backends.readiness.faults() for _ in range(50)))
        assert all(BackendName.STORAGE in each for each in found)
    finally:
        go.set()
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
    assert backends.asked[BackendName.STORAGE] == 1


async def test_probe_after_the_outage_gets_the_result_of_the_check_that_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "READY_SECONDS", SHORT)
    backends, go = FakeBackends(), threading.Event()
    backends.does[BackendName.CLUSTER] = go.wait
    await backends.readiness.faults()
    go.set()
    monkeypatch.setattr(readiness, "READY_SECONDS", 60)

    assert await backends.readiness.faults() == {}


async def test_backend_that_has_responded_once_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "READY_SECONDS", 60)
    backends = FakeBackends()
    assert not backends.readiness.has_answered(BackendName.STORAGE)
    await backends.readiness.faults()
    assert backends.readiness.has_answered(BackendName.STORAGE)

    def fail() -> None:
        raise StorageUnavailableError("down")

    backends.does[BackendName.STORAGE] = fail
    assert await backends.readiness.faults() == {BackendName.STORAGE: "down"}
    assert backends.readiness.has_answered(BackendName.STORAGE)
