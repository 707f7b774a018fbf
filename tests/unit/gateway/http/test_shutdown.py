"""Graceful shutdown: readiness fails, then streams reconnect elsewhere, and requests in progress are completed."""

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from support.event_streams import Event, StreamedJob, follow
from support.waiting import waiter

DRAIN_SECONDS = 1

wait_until = waiter(20)


class Browser:
    """Reads a job's stream, and reconnects to the next gateway when it ends, as an EventSource does."""

    def __init__(self, job: StreamedJob, gateways: Iterator[httpx.Client]) -> None:
        self.events: list[Event] = []
        self._job = job
        self._gateways = gateways
        self.thread = threading.Thread(target=self._read)

    @property
    def steps(self) -> list[int]:
        return [event.data["step"] for event in self.events if event.name == "progress"]

    @property
    def ends(self) -> list[Event]:
        return [event for event in self.events if event.name == "end"]

    def _read(self) -> None:
        for gateway in self._gateways:
            seen = [event.id for event in self.events if event.id is not None]
            headers = {"Last-Event-ID": seen[-1]} if seen else {}
            for event in follow(gateway, self._job.name, **headers):
                self.events.append(event)


@contextmanager
def reporting(job: StreamedJob) -> Iterator[list[int]]:
    """A runner that reports steps, and the steps that it has reported."""
    done, reported = threading.Event(), list[int]()

    def report() -> None:
        for step in itertools.count():
            job.report(step)
            reported.append(step)
            if done.wait(0.005):
                return

    thread = threading.Thread(target=report)
    thread.start()
    try:
        yield reported
    finally:
        done.set()
        thread.join()


class Upload:
    """A training whose photo is being uploaded."""

    def __init__(self, address: tuple[str, int], photo: bytes) -> None:
        head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
        body = head + photo + b"\r\n--b--\r\n"
        self._rest = body[-1000:]
        self._connection = socket.create_connection(address, timeout=30)
        self._connection.sendall(
            b"POST /train?prompt=a&model_id=dog HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body[:-1000])
        )

    def finish(self) -> bytes:
        """The raw response."""
        with self._connection:
            self._connection.sendall(self._rest)
            return self._connection.recv(10_000)


def test_stopping_gateway_loses_no_event_and_no_response(
    start_gateway: Any, environment: dict[str, str], gateway: Any, streamed_job: StreamedJob, picture: Any
) -> None:
    drain = {"DARKROOM_GATEWAY_DRAIN_SECONDS": str(DRAIN_SECONDS)}
    with start_gateway({**environment, **drain}) as ending, reporting(streamed_job) as reported:
        browser = Browser(streamed_job, iter([ending.http, gateway.http]))
        browser.thread.start()
        upload = Upload((ending.http.base_url.host, ending.http.base_url.port), picture())
        wait_until(lambda: browser.steps, "the stream has begun")

        ending.process.terminate()

        wait_until(lambda: ending.http.get("/readyz").status_code == 503, "it is not ready")
        drained = ending.http.post("/generate/sdxl?prompt=a")
        assert (drained.status_code, drained.headers["connection"]) == (202, "close")
        wait_until(lambda: browser.ends, "the stream has ended")
        assert upload.finish().startswith(b"HTTP/1.1 202 ")
        assert ending.process.wait(timeout=20) in (0, -15)
    streamed_job.set_status(phase="Succeeded")
    browser.thread.join(timeout=20)

    assert [end.data["reason"] for end in browser.ends] == ["GatewayStopping", "Succeeded"]
    assert browser.ends[0].retry_milliseconds == 2000
    assert browser.steps == reported
