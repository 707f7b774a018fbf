"""How rounds of work go: one failure stops nothing else, and no work keeps the process from ending."""

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
    """Do the work for every item. Raises the first `GatewayError`, after all others were done."""
    failure: GatewayError | None = None
    for item in items:
        try:
            work(item)
        except GatewayError as error:
            log.warning("%s is not all gone yet: %s", name(item), error)
            failure = failure or error
    if failure is not None:
        raise failure


async def in_daemon_thread(work: Callable[[], Result]) -> Result:
    """The result of work that blocks. When the caller is cancelled it is abandoned, and dies with the process: anyio's
    and asyncio's own threads would be waited for."""
    future: Future[Result] = Future()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = work()
        except Exception as error:  # noqa: BLE001  It is raised where the work is awaited.
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name="forgetting", daemon=True).start()
    return await asyncio.wrap_future(future)
