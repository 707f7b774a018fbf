"""What tests of the decoder pool share: limits, and the validation of single photos."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from anyio import to_thread

from darkroom_contract.photos.decoder import DecodingLimits
from darkroom_contract.photos.errors import PhotoProperties
from darkroom_gateway.photos.decoder_pool import DecoderPool, UploadUsage
from darkroom_gateway.photos.upload_validator import Photo, UploadValidator
from support import processes
from support.photo_check import upload
from support.waiting import waiter

MIB = 1024**2
AMPLE = DecodingLimits(1024 * MIB, 60)
SMALL = DecodingLimits(64 * MIB, 60)
SHORT = DecodingLimits(1024 * MIB, 0.001)

FAST: dict[str, dict[str, Any]] = {
    "JPEG": {"progressive": True},
    "AVIF": {"speed": 10},
    "HEIF": {"enc_params": {"preset": "ultrafast"}},
}

wait_until = waiter(30)
StartDecoders = Callable[..., DecoderPool]


EARLIER_PROCESSES = set[int]()
"""Child processes from before a test: servers and decoders of other tests."""


def decoder_processes() -> list[int]:
    """Running child processes that the test has started."""
    return [pid for pid in processes.children(os.getpid()) if pid not in EARLIER_PROCESSES]


async def check(
    decoders: DecoderPool, content: bytes, name: str = "a.jpg", usage: UploadUsage | None = None
) -> PhotoProperties:
    with upload(content, name) as each:
        return await decoders.check(each.file.fileno(), name, usage or UploadUsage())


async def checked(validator: UploadValidator, *contents: bytes) -> list[Photo]:
    with ExitStack() as stack:
        uploads = [stack.enter_context(upload(content, f"{number}.jpg")) for number, content in enumerate(contents)]
        return await validator.check(uploads)


async def until(condition: Callable[[], object]) -> None:
    await to_thread.run_sync(wait_until, condition, "it is so")
