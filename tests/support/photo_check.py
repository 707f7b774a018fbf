"""The gateway's validation of photos without a gateway, with its own decoder processes and event loop."""

import atexit
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from tempfile import SpooledTemporaryFile

from anyio.from_thread import BlockingPortal, start_blocking_portal

from darkroom_contract.photos.decoder import DecodingLimits
from darkroom_gateway.photos.decoder_pool import DecoderPool
from darkroom_gateway.photos.upload_form import Upload
from darkroom_gateway.photos.upload_validator import Photo, UploadValidator

LIMITS = DecodingLimits(memory_bytes=1024**3, seconds=60)


@contextmanager
def upload(body: bytes, name: str = "a photo") -> Iterator[Upload]:
    """A file of an upload form."""
    with SpooledTemporaryFile() as file:
        file.write(body)
        yield Upload(name, len(body), file)


def check_photo(body: bytes, name: str = "a photo") -> Photo:
    """Validate an uploaded file. Raises `InvalidPhotosError`."""
    portal, validator = _validator()
    with upload(body, name) as each:
        [photo] = portal.call(validator.check, [each])
    return photo


@cache
def _validator() -> tuple[BlockingPortal, UploadValidator]:
    stack = ExitStack()
    atexit.register(stack.close)
    portal = stack.enter_context(start_blocking_portal("asyncio"))
    validator = UploadValidator(DecoderPool(1, LIMITS), uploads=1)
    stack.callback(portal.call, validator.close)
    return portal, validator
