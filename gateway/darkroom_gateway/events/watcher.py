"""A client of an event stream, and the list of those that wait for news. Used by the feeds and by events/stream.py."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator

WOKEN_AT_ONCE = 100
"""Watchers woken per iteration of the event loop, so that other requests are handled in between."""


class WakeList:
    """Watchers of a feed that wait for its next event. Used on the event loop only."""

    def __init__(self) -> None:
        self.last_woken = time.monotonic()
        self._waiting: list[asyncio.Future[None]] = []

    def news(self) -> asyncio.Future[None]:
        """Done at the next `wake`."""
        news = asyncio.get_running_loop().create_future()
        self._waiting.append(news)
        return news

    def wake(self) -> None:
        self.last_woken = time.monotonic()
        waiting, self._waiting = self._waiting, []
        if waiting:
            asyncio.get_running_loop().call_soon(_wake_some, iter(waiting))


class Watcher(ABC):
    """One event stream. It has no queue: a feed knows its position in the events that all watchers share."""

    __slots__ = ("_news", "_wakes", "is_aborted", "is_done", "is_gone", "task")

    def __init__(self, wakes: WakeList) -> None:
        self.is_done = False
        """Whether it was sent the last event."""
        self.is_gone = False
        """Whether the client has disconnected."""
        self.is_aborted = False
        """Whether the gateway has aborted the stream."""
        self.task: asyncio.Task[None] | None = None
        """The task of its request."""
        self._wakes = wakes
        self._news: asyncio.Future[None] | None = None

    @property
    @abstractmethod
    def subject(self) -> str:
        """What it watches, for the log."""

    @abstractmethod
    def take(self) -> bytes:
        """The next events, about as much as a connection's buffer holds; empty when there are none."""

    @abstractmethod
    def leave(self) -> None:
        """Release its place. Called once, at the end of the stream."""

    def news(self) -> asyncio.Future[None]:
        """Done when there may be something to take, or the client has disconnected."""
        self._news = self._wakes.news()
        return self._news

    def hang_up(self) -> None:
        self.is_gone = True
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def abort(self) -> None:
        self.is_aborted = True
        if self.task is not None:
            self.task.cancel()


def _wake_some(waiting: Iterator[asyncio.Future[None]]) -> None:
    woken = 0
    for future in waiting:
        if not future.done():
            future.set_result(None)
            woken += 1
            if woken == WOKEN_AT_ONCE:
                asyncio.get_running_loop().call_soon(_wake_some, waiting)
                return
