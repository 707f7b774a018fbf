"""Fixtures: photos, and decoder pools that are closed after the test."""

import os
from collections.abc import AsyncIterator

import pytest
from PIL import Image
from support import processes
from support.decoder_pools import AMPLE, EARLIER_PROCESSES, StartDecoders, decoder_processes
from support.photos import encode, scene

from darkroom_contract.photos.decoder import DecodingLimits
from darkroom_gateway.photos.decoder_pool import DecoderPool


@pytest.fixture(scope="module")
def small() -> bytes:
    return encode(scene(), "JPEG")


@pytest.fixture(scope="module")
def of_18_megapixels() -> bytes:
    """An ordinary photo that takes 72 MB to decode."""
    return encode(Image.new("RGB", (4500, 4000), "olive"), "PNG")


@pytest.fixture
async def start() -> AsyncIterator[StartDecoders]:
    """Creates decoder pools that are closed after the test."""
    EARLIER_PROCESSES.clear()
    EARLIER_PROCESSES.update(processes.children(os.getpid()))
    started: list[DecoderPool] = []

    def make(count: int, limits: DecodingLimits = AMPLE) -> DecoderPool:
        started.append(DecoderPool(count, limits))
        return started[-1]

    yield make
    for each in started:
        await each.close()
    assert decoder_processes() == []
