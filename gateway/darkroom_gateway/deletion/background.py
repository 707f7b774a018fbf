"""Background work: a failure does not stop other items, and a running thread does not delay process exit."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

from darkroom_gateway.errors import GatewayError

log = logging.getLogger(__name__)

T = TypeVar("T")
Result = TypeVar("Result")


def run_for_each(items: Iterable[T], work: Callable[[T], object], name: Callable[[T], str]) -> None:
    """Call `work` for every item. Raises the first `GatewayError` after all items."""
    failure: GatewayError | None = None
    for item in items:
        try:
            work(item)
        except GatewayError as error:
            log.warning("deletion of %s is incomplete: %s", name(item), error)
            failure = failure or error
    if failure is not None:
        raise failure


async def in_daemon_thread(work: Callable[[], Result]) -> Result:
    """The result of blocking work. Cancelling the caller abandons it, and it ends with the process, which would wait
    for threads of anyio and asyncio."""
    future: Future[Result] = Future()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = work()
        except Exception as error:  # noqa: BLE001  Raised where the work is awaited.
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name="deletion", daemon=True).start()
    return await asyncio.wrap_future(future)
