"""Index of the words of all prompts, for the text filter of lists. Used by jobs/store.py under its lock.

A word of the filter matches all words that begin with it. The rarest word of a filter is read from its lists, newest
first, and the other words are looked up, so that a search costs about as much among a million jobs as among ten.
"""

import heapq
import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from darkroom_gateway.errors import FieldError, InvalidRequestError
from darkroom_gateway.jobs.stored_job import Position

MAX_WORDS = 500
"""Number of words that one word of a filter may stand for."""
MAX_READ = 5_000
"""Number of jobs that one search reads. Beyond it a page ends early, and the next one continues there."""
MAX_LOOKUPS = 20_000
"""Number of lists in which one search looks its jobs up: some 10 ms. Beyond it a page ends early, too."""

WORD_PATTERN = r"[A-Za-z0-9]"
"""What a text filter must have, at least."""

Entry = tuple[int, int, int, str, str]
"""The position of a job, and its name. Sorts like the position."""


@dataclass(frozen=True)
class Matches:
    """The result of a search, newest first."""

    entries: list[Entry]
    next: Position | None
    """Position after which the search continues; None when it is complete."""


def words_of(text: str) -> tuple[str, ...]:
    """The different words of a text, in lower case."""
    return tuple(dict.fromkeys(re.findall(r"\w+", text.casefold())))


class PromptIndex:
    """For each word, the jobs whose prompt has it, sorted by position."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Entry]] = {}
        self._words: list[str] = []
        """Sorted."""

    def add(self, entry: Entry, prompt: str) -> None:
        for word in words_of(prompt):
            if word not in self._entries:
                self._entries[word] = []
                insort(self._words, word)
            insort(self._entries[word], entry)

    def remove(self, entry: Entry, prompt: str) -> None:
        for word in words_of(prompt):
            entries = self._entries[word]
            del entries[bisect_left(entries, entry)]
            if not entries:
                del self._entries[word]
                del self._words[bisect_left(self._words, word)]

    def search(
        self, words: Sequence[str], accepts: Callable[[Entry], bool], limit: int, after: Position | None
    ) -> Matches:
        """At most `limit` accepted jobs whose prompts have all words. Raises `InvalidRequestError` for a word that
        stands for too many."""
        rarest, *others = sorted(map(self._lists, words), key=lambda lists: sum(map(len, lists)))
        found: list[Entry] = []
        last: Entry | None = None
        lookups = 0
        for number, entry in enumerate(heapq.merge(*(_descending(each, after) for each in rarest), reverse=True)):
            if len(found) == limit or number == MAX_READ or lookups >= MAX_LOOKUPS:
                return Matches(found, None if last is None else last[:4])
            if entry != last:
                contains_all, count = _contain(others, entry)
                lookups += count
                if contains_all and accepts(entry):
                    found.append(entry)
            last = entry
        return Matches(found, None)

    def _lists(self, beginning: str) -> list[list[Entry]]:
        start = bisect_left(self._words, beginning)
        words = self._words[start : start + MAX_WORDS + 1]
        found = [self._entries[word] for word in words if word.startswith(beginning)]
        if len(found) > MAX_WORDS:
            message = f"Write more of {beginning!r}: more than {MAX_WORDS} words of the prompts begin with it."
            raise InvalidRequestError(f"q: {message}", (FieldError("q", message, beginning),))
        return found


def _contain(words: Sequence[list[list[Entry]]], entry: Entry) -> tuple[bool, int]:
    """Whether each word has the entry in one of its lists, and the number of lists that were read."""
    count = 0
    for lists in words:
        for entries in lists:
            count += 1
            at = bisect_left(entries, entry)
            if at < len(entries) and entries[at] == entry:
                break
        else:
            return False, count
    return True, count


def _descending(entries: list[Entry], after: Position | None) -> Iterator[Entry]:
    end = len(entries) if after is None else bisect_left(entries, after)
    return (entries[number] for number in range(end - 1, -1, -1))
