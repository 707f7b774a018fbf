"""The text of a run's log: its beginning and its end, with a line in place of a long middle. Pure.

The runner stores the text again and again while the run writes; the gateway sends followers what is new in it.
"""

import re

HEAD_BYTES, TAIL_BYTES = 512 * 1024, 3 * 1024 * 1024

_GAP = re.compile(rb"\n\.\.\. (\d+) bytes omitted \.\.\.\n")


def join_log(head: bytes, omitted_bytes: int, tail: bytes) -> bytes:
    """The text of a log of which `omitted_bytes` between head and tail are not kept."""
    return head + (_gap(omitted_bytes) if omitted_bytes else b"") + tail


def text_after(text: bytes, position: int, head_bytes: int = HEAD_BYTES) -> tuple[bytes, int]:
    """What the run wrote after its first `position` bytes, as far as it is kept, and how much it wrote in total."""
    gap = _GAP.match(text, head_bytes)
    if gap is None:
        return text[position:], len(text)
    tail_begin = head_bytes + int(gap[1])
    total = tail_begin + len(text) - gap.end()
    if position <= head_bytes:
        return text[position:], total
    if position < tail_begin:
        return _gap(tail_begin - position) + text[gap.end() :], total
    return text[gap.end() + position - tail_begin :], total


def _gap(omitted_bytes: int) -> bytes:
    return f"\n... {omitted_bytes} bytes omitted ...\n".encode()
