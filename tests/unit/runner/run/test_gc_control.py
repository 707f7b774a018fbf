"""The garbage collector is paused during loading and works normally afterwards."""

import gc
from collections.abc import Iterator

import pytest

from darkroom_runner.run.gc_control import paused_gc


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    """As in a new process: the tests' own objects, frozen in `conftest`, are not."""
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def test_collection_is_paused_inside_and_enabled_afterwards() -> None:
    with paused_gc():
        assert not gc.isenabled()
        kept = [[] for _ in range(10_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(kept)


def test_collection_is_enabled_after_a_failure() -> None:
    with pytest.raises(OSError, match="broken"), paused_gc():
        raise OSError("broken")
    assert gc.isenabled()
