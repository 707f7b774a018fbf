"""The cache with a thin SDXL: it has skip connections of all kinds, but fewer."""

from typing import Any

import pytest
from support.pipeline_copies import PipelineCopies


@pytest.fixture
def sdxl(thin_sdxl_copies: PipelineCopies) -> Any:
    """The thin SDXL of one test alone."""
    return thin_sdxl_copies.copy()


@pytest.fixture
def whole_sdxl(sdxl_copies: PipelineCopies) -> Any:
    """The small SDXL of one test alone, with as many layers in each block as the real one."""
    return sdxl_copies.copy()
