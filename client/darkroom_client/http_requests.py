"""How calls become httpx requests, and httpx's errors ours. Used by both clients."""

import contextlib
import io
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx

from darkroom_client.calls import Call, FormPart
from darkroom_client.errors import (
    ConfigurationError,
    DarkroomError,
    DownloadError,
    GatewayUnreachableError,
    InputError,
    UnexpectedAnswerError,
)
from darkroom_client.problems import RawAnswer
from darkroom_client.settings import Settings
from darkroom_client.submissions import OnUpload
from darkroom_client.version import version

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 40.0
"""The gateway gives up on its backends after 23 seconds and then answers."""
SILENCE_SECONDS = 45.0
"""Of a stream. The gateway sends a comment every 15 seconds."""

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)

NO_PROXIES = {f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")}
"""A proxy of the environment can't reach servers on this machine."""


class CountingFile(io.BufferedReader):
    """A file that reports how much of it was read."""

    def __init__(self, path: Path, on_upload: OnUpload) -> None:
        super().__init__(io.FileIO(path))
        self._on_upload = on_upload

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self._on_upload(len(content))
        return content


class FileLink(Protocol):
    """A file that can be downloaded: an artifact of a job, or a file of a model."""

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def bytes(self) -> int | None: ...
    @property
    def sha256(self) -> str | None: ...


def client_options(settings: Settings) -> dict[str, Any]:
    headers = {"User-Agent": f"darkroom-client/{version()}", "Accept": "application/json, */*"}
    return {
        "base_url": _base_url(settings.gateway),
        "headers": headers | key_headers(settings),
        "timeout": httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        "mounts": NO_PROXIES,
        # Loading certificates takes longer than a request over plain HTTP, which has no use for them.
        "verify": settings.gateway.startswith("https:") or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    }


def _base_url(gateway: str) -> httpx.URL:
    """httpx refuses more than urllib does, such as a host that can't be in the DNS."""
    try:
        return httpx.URL(gateway)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{gateway!r} is no address of a gateway: {error}.") from error


def file_client_options() -> dict[str, Any]:
    """For object storage: no key is sent by default, and redirects are followed."""
    return {"timeout": stream_timeout(), "follow_redirects": True, "mounts": NO_PROXIES}


def key_headers(settings: Settings) -> dict[str, str]:
    return {} if settings.api_key is None else {"Authorization": f"Bearer {settings.api_key}"}


def request_timeout(call: Call[Any]) -> httpx.Timeout:
    return httpx.Timeout(ANSWER_SECONDS + call.answer_seconds, connect=CONNECT_SECONDS)


def stream_timeout() -> httpx.Timeout:
    return httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)


@contextlib.contextmanager
def request_options(call: Call[Any], on_upload: OnUpload | None) -> Iterator[dict[str, Any]]:
    """Arguments of httpx's `request`. Opens the files of the form, once for each attempt."""
    options: dict[str, Any] = {"params": call.params, "headers": call.headers}
    if call.json is not None:
        options["json"] = call.json
    sent = 0

    def count(size: int) -> None:
        nonlocal sent
        sent += size
        if on_upload is not None:
            on_upload(size)

    with contextlib.ExitStack() as stack:
        if call.form:
            options["files"] = [_form_field(part, stack, count) for part in call.form]
        try:
            yield options
        except (httpx.RequestError, DarkroomError):
            count(-sent)
            raise


def _form_field(part: FormPart, stack: contextlib.ExitStack, on_upload: OnUpload) -> tuple[str, tuple[Any, ...]]:
    if part.path is None:
        return part.field, (None, part.text.encode(), part.content_type)
    try:
        file = stack.enter_context(CountingFile(part.path, on_upload))
    except OSError as error:
        raise InputError(f"{part.path} can't be read: {error.strerror}.") from error
    return part.field, (part.name, file, part.content_type)


def raw_answer(response: httpx.Response) -> RawAnswer:
    return RawAnswer(response.status_code, dict(response.headers), response.content)


def unreachable(gateway: str, error: httpx.RequestError) -> DarkroomError:
    if isinstance(error, httpx.DecodingError):
        return UnexpectedAnswerError(f"The answer of {gateway} can't be decompressed: {_in_words(error)}.")
    return GatewayUnreachableError(gateway, _in_words(error), was_sent=not isinstance(error, NEVER_SENT))


def broken_download(name: str, error: httpx.RequestError) -> DownloadError:
    is_broken_off = isinstance(error, httpx.TransportError)
    return DownloadError(f"{name} could not be downloaded: {_in_words(error)}.", is_broken_off=is_broken_off)


def refused_download(name: str, response: httpx.Response) -> DownloadError:
    host = response.url.host
    return DownloadError(
        f"{name} could not be downloaded: {host} answered {response.status_code}.", status=response.status_code
    )


def _in_words(error: httpx.RequestError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no connection in time" if isinstance(error, NEVER_SENT) else "no answer in time"
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error) or type(error).__name__).rstrip(".")


def file_request(settings: Settings, url: str) -> tuple[str, dict[str, str]]:
    """The absolute address of a file and the headers of its request. Only the gateway itself gets the key."""
    try:
        address = urljoin(f"{settings.gateway}/", url)
        is_own = _origin(address) == _origin(settings.gateway) and not _is_presigned(address)
        httpx.URL(address)
    except (ValueError, httpx.InvalidURL) as error:
        raise DownloadError(f"The gateway named a file by {url!r}, which is no address. It was not saved.") from error
    return address, key_headers(settings) if is_own else {}


def _is_presigned(url: str) -> bool:
    """A link of object storage, which may be behind the gateway's host too. It refuses links that come with a key."""
    return any(name.lower() == "x-amz-signature" for name, _ in parse_qsl(urlsplit(url).query))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
