"""Which files `make test` begins with."""

from pathlib import Path

import pytest
from support.file_order import LONG_FILES, LONG_STORIES, TESTS, place_of, put_in_order

NAMED = (*LONG_STORIES, *LONG_FILES)


class Item:
    def __init__(self, name: str, number: int = 0) -> None:
        self.path, self.number = TESTS / name, number


def ordered(*items: Item) -> list[tuple[str, int]]:
    put_in_order(found := list(items))  # type: ignore[arg-type]
    return [(str(each.path.relative_to(TESTS)), each.number) for each in found]


@pytest.mark.parametrize("name", NAMED)
def test_named_file_exists(name: str) -> None:
    assert (TESTS / name).is_file()


def test_each_file_is_named_once() -> None:
    assert len(set(NAMED)) == len(NAMED)


def test_long_files_are_first_then_the_stories_then_the_others_as_collected() -> None:
    others = ["unit/operator/test_b.py", "unit/contract/test_a.py"]
    given = [*others, *reversed(NAMED), "stories/test_short.py"]
    found = [name for name, _ in ordered(*(Item(name) for name in given))]
    assert found == [*LONG_FILES, *LONG_STORIES, "stories/test_short.py", *others]


def test_tests_of_a_file_keep_their_order() -> None:
    items = [Item(name, number) for name in ("unit/test_a.py", LONG_FILES[0]) for number in range(3)]
    assert [number for _, number in ordered(*items)] == [0, 1, 2, 0, 1, 2]


def test_files_elsewhere_come_last(tmp_path: Path) -> None:
    assert place_of(tmp_path / "test_a.py") > place_of(TESTS / LONG_FILES[-1])
