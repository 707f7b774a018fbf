"""Downloads a picture from an http or https link. Called by generation/image_resolver.py.

The client chooses the link, so everything about it is limited: size, time, redirects, and the addresses that it may
lead to (outgoing/sessions.py). Every redirect is checked again.
"""

import asyncio
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import IO

import aiohttp
from yarl import URL

from darkroom_contract.photos import limits as bounds
from darkroom_gateway.backends.file_threads import run_to_end
from darkroom_gateway.errors import FieldError, InvalidRequestError, invalid_request
from darkroom_gateway.outgoing.name_lookups import NameLookups
from darkroom_gateway.outgoing.sessions import (
    PrivateAddressError,
    failure_words,
    new_session,
    read_url,
    require_public,
)
from darkroom_gateway.photos.upload_form import SPOOL_BYTES, no_space
from darkroom_gateway.settings import ImageLinks

LINK_SECONDS = 20.0
"""The whole download, redirects included."""
MAX_REDIRECTS = 5
MAX_URL_CHARACTERS = 2048

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BLOCK_BYTES = 256 * 1024
_MIB = 1024**2


class LinkDownloader:
    """Downloads pictures. `links` says which addresses are allowed."""

    def __init__(self, links: ImageLinks, seconds: float = LINK_SECONDS) -> None:
        self._links = links
        self._lookups = NameLookups()
        self._seconds = seconds

    async def download(self, url: str, parameter: str) -> IO[bytes]:
        """The content behind a link that matches `HTTP_URL_PATTERN`, in a temporary file that the caller closes.

        Raises `InvalidRequestError` with an error for `parameter`, and `NoUploadSpaceError`.
        """
        if self._links is ImageLinks.DISABLED:
            raise _refused(parameter, url, "This gateway follows no links. Upload the picture instead.")
        file: IO[bytes] = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 (the caller closes it)
        try:
            async with asyncio.timeout(self._seconds), self._session() as session:
                await self._follow(session, url, file, parameter)
        except BaseException as error:
            with suppress(OSError):
                file.close()
            if isinstance(error, TimeoutError):
                message = f"The server did not deliver the picture within {self._seconds:g} s. Upload it instead."
                raise _refused(parameter, url, message) from error
            raise
        file.seek(0)
        return file

    def _session(self) -> aiohttp.ClientSession:
        public_only = self._links is not ImageLinks.ANY
        return new_session(self._lookups, public_only=public_only, seconds=self._seconds, headers={"Accept": "image/*"})

    async def _follow(self, session: aiohttp.ClientSession, given: str, file: IO[bytes], parameter: str) -> None:
        url = _parsed(given, given, parameter)
        for _ in range(MAX_REDIRECTS + 1):
            try:
                if self._links is not ImageLinks.ANY:
                    require_public(url)
                async with session.get(url, allow_redirects=False) as response:
                    if response.status not in _REDIRECTS:
                        await _save(response, given, file, parameter)
                        return
                    url = _parsed(response.headers.get("Location", ""), given, parameter, base=url)
            except PrivateAddressError:
                raise _private(parameter, given, url) from None
            except (aiohttp.ClientError, ValueError) as error:
                message = f"The picture can't be downloaded from {url.host}: {failure_words(error)}. Correct the link."
                raise _refused(parameter, given, message) from error
        raise _refused(parameter, given, f"The link redirects more than {MAX_REDIRECTS} times. Use its last address.")


def _parsed(text: str, given: str, parameter: str, base: URL | None = None) -> URL:
    try:
        url = read_url(text if base is None else str(base.join(URL(text))))
    except ValueError:
        url = None
    if not text or url is None:
        where = "Use a link that begins" if base is None else "The link redirects to an address that does not begin"
        raise _refused(parameter, given, f"{where} with http:// or https://, without a user name.")
    return url


async def _save(response: aiohttp.ClientResponse, given: str, file: IO[bytes], parameter: str) -> None:
    if response.status != 200:
        message = f"The server answered {response.status} instead of the picture. Correct the link."
        raise _refused(parameter, given, message)
    size_bytes = response.content_length or 0
    if size_bytes <= bounds.MAX_PHOTO_BYTES:
        size_bytes = 0
        async for block in response.content.iter_chunked(_BLOCK_BYTES):
            size_bytes += len(block)
            if size_bytes > bounds.MAX_PHOTO_BYTES:
                break
            try:
                await run_to_end(file.write, block)
            except OSError as error:
                raise no_space(error) from error
    if size_bytes > bounds.MAX_PHOTO_BYTES:
        raise _refused(parameter, given, f"Use a picture of at most {bounds.MAX_PHOTO_BYTES // _MIB} MiB.")


def _private(parameter: str, given: str, url: URL) -> InvalidRequestError:
    message = f"{url.host} has an address that is not public: this gateway does not connect to it. Upload the picture."
    return _refused(parameter, given, message)


def _refused(parameter: str, given: str, message: str) -> InvalidRequestError:
    return invalid_request([FieldError(parameter, message, given)])
