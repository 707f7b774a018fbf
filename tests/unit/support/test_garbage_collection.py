"""Tests run with the garbage collector on; it skips what the collection of the tests has loaded."""

import gc
from weakref import ref


class Cycle:
    """Refers to itself: only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self


def test_what_a_test_leaves_is_collected() -> None:
    left = ref(Cycle())

    assert gc.isenabled()
    gc.collect()

    assert left() is None


def test_modules_are_not_scanned() -> None:
    scanned = {id(each) for each in gc.get_objects()}
    assert id(globals()) not in scanned
    assert id(Cycle) not in scanned
