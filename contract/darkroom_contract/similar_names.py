"""Suggests the name that an unknown parameter or field probably means. Pure.

A comparison takes 0.2 ms or more, so the callers look for few names of a request, and long names are not compared.
"""

from collections.abc import Iterable
from difflib import get_close_matches

MIN_SIMILARITY = 0.7
"""Minimum `difflib` ratio of a suggested name. `step` and `steps` have 0.89."""
MAX_NAME_CHARACTERS = 100
"""Longer names are not compared: no name of a parameter or field has half of it."""


def similar_name(name: str, known: Iterable[str]) -> str | None:
    """The most similar of the known names; None without one."""
    if len(name) > MAX_NAME_CHARACTERS:
        return None
    return next(iter(get_close_matches(name, known, 1, MIN_SIMILARITY)), None)
