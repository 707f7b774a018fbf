"""Sends calls with httpx, retries them, and reads streams: blocking. async_transport.py is its twin."""

import contextlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError

from darkroom_client import http_requests
from darkroom_client.calls import Call
from darkroom_client.downloads import PartialFile
from darkroom_client.errors import DarkroomError, NotFoundError, UnexpectedAnswerError
from darkroom_client.http_requests import FileLink
from darkroom_client.problems import RawAnswer, error_of
from darkroom_client.retries import Retries, may_have_acted
from darkroom_client.settings import Settings
from darkroom_client.submissions import OnUpload

T = TypeVar("T")


class SyncTransport:
    """One connection pool to the gateway, and one to object storage."""

    def __init__(self, settings: Settings, retries: Retries) -> None:
        self.settings = settings
        self.retries = retries
        self._http = httpx.Client(**http_requests.client_options(settings))
        self._file_client: httpx.Client | None = None

    def close(self) -> None:
        self._http.close()
        if self._file_client is not None:
            self._file_client.close()

    def send(self, call: Call[T], on_upload: OnUpload | None = None) -> T:
        may_be_done = False
        for attempt in itertools.count(1):
            try:
                return self.send_once(call, on_upload)
            except DarkroomError as failure:
                if isinstance(failure, NotFoundError) and call.missing_is_done and may_be_done:
                    return call.read(RawAnswer(204))
                may_be_done = may_be_done or may_have_acted(failure)
                pause = self.retries.pause_seconds(failure, attempt, is_repeatable=call.is_repeatable)
                if pause is None:
                    raise
                self.retries.announce(failure, pause)
            time.sleep(pause)
        raise AssertionError("unreachable")

    def send_once(self, call: Call[T], on_upload: OnUpload | None = None) -> T:
        timeout = http_requests.request_timeout(call)
        try:
            with http_requests.request_options(call, on_upload) as options:
                response = self._http.request(call.method, call.path, timeout=timeout, **options)
                answer = http_requests.raw_answer(response)
                if not answer.is_success:
                    raise error_of(answer)
        except httpx.RequestError as error:
            raise http_requests.unreachable(self.settings.gateway, error) from error
        return call.read(answer)

    @contextlib.contextmanager
    def stream(self, call: Call[None]) -> Iterator[httpx.Response]:
        """A successful answer whose body has not been read. One attempt."""
        timeout = http_requests.stream_timeout()
        try:
            with (
                http_requests.request_options(call, None) as options,
                self._http.stream(call.method, call.path, timeout=timeout, **options) as response,
            ):
                if not response.is_success:
                    response.read()
                    raise error_of(http_requests.raw_answer(response))
                yield response
        except SSEError as error:
            raise UnexpectedAnswerError("The answer is no stream of events.") from error
        except httpx.RequestError as error:
            raise http_requests.unreachable(self.settings.gateway, error) from error

    def events(self, call: Call[None]) -> Iterator[ServerSentEvent]:
        with self.stream(call) as response:
            yield from EventSource(response).iter_sse()

    def download(self, file: FileLink, target: Path) -> Path:
        for attempt in itertools.count(1):
            try:
                return self._download_once(file, target)
            except DarkroomError as failure:
                pause = self.retries.pause_seconds(failure, attempt)
                if pause is None:
                    raise
                self.retries.announce(failure, pause)
            time.sleep(pause)
        raise AssertionError("unreachable")

    def _download_once(self, file: FileLink, target: Path) -> Path:
        if self._file_client is None:
            self._file_client = httpx.Client(**http_requests.file_client_options())
        address, headers = http_requests.file_request(self.settings, file.url)
        try:
            with self._file_client.stream("GET", address, headers=headers) as response:
                if not response.is_success:
                    raise http_requests.refused_download(target.name, response)
                with PartialFile(target, sha256=file.sha256, size_bytes=file.bytes) as partial:
                    for content in response.iter_bytes():
                        partial.write(content)
                    return partial.finish()
        except httpx.RequestError as error:
            raise http_requests.broken_download(target.name, error) from error
