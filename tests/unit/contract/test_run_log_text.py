"""What is new in the text of a log, of which the middle may be omitted."""

import pytest

from darkroom_contract.run_log_text import join_log, text_after

HEAD, LETTERS = 4, b"abcdefghijklmnopqrstuvwxyz"


def kept(written: int, tail: int = 6) -> bytes:
    """The text of a log of this many letters."""
    text = LETTERS[:written]
    omitted = max(0, written - HEAD - tail)
    return join_log(text[:HEAD], omitted, text[HEAD + omitted :])


@pytest.mark.parametrize("first", range(0, 27, 2))
@pytest.mark.parametrize("step", [1, 3, 5, 6])
def test_parts_of_a_growing_log_join_to_all_of_it(first: int, step: int) -> None:
    received, position = text_after(kept(first), 0, HEAD)
    assert received == kept(first)
    for written in range(first, 27, step):
        part, position = text_after(kept(written), position, HEAD)
        received += part
        assert position == written

    assert received.replace(kept(first), LETTERS[:first]) == LETTERS[:position]


@pytest.mark.parametrize(
    ("position", "new"),
    [
        (0, b"abcd\n... 16 bytes omitted ...\nuvwxyz"),
        (2, b"cd\n... 16 bytes omitted ...\nuvwxyz"),
        (10, b"\n... 10 bytes omitted ...\nuvwxyz"),
        (20, b"uvwxyz"),
        (23, b"xyz"),
        (26, b""),
    ],
)
def test_follower_that_missed_the_middle_reads_how_much(position: int, new: bytes) -> None:
    assert text_after(kept(26), position, HEAD) == (new, 26)
