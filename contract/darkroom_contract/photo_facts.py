"""What the reading of a photo finds, or why it fails. Plain data, so that a process can know it without decoding.

`photo_reading` makes these; `photo_decoder` passes them from its child process.

    PhotoError                a file that can't be trained on
    ├── UndecodableError      a decoder gave up: damage, or too little memory
    └── PhotoLimitError       its decoding took more memory or time than allowed, or broke the decoder
"""

from dataclasses import dataclass

from darkroom_contract import photos as bounds


class PhotoError(Exception):
    """A file that can't be trained on. The message names it, says what is wrong and what to do."""

    def __init__(self, name: str, problem: str, advice: str, given: str | None = None) -> None:
        shown = bounds.short_name(name)
        super().__init__(f"{shown} {problem}. {advice}")
        self.name = shown
        self.problem = problem
        self.advice = advice
        self.given = given
        """The value that is out of bounds, where it is one."""


class UndecodableError(PhotoError):
    """`reason` is in the decoder's own words, `size_px` the width and height of the header, if it could be read."""

    def __init__(self, name: str, problem: str, reason: str, size_px: tuple[int, int] | None) -> None:
        super().__init__(name, problem, "Replace it with a whole copy, or take it out.")
        self.reason = reason
        self.size_px = size_px


class PhotoLimitError(PhotoError):
    """Decoding it was stopped."""


@dataclass(frozen=True)
class PhotoFacts:
    """What a photo is, and what its reading changes."""

    extension: str
    """Under which it is stored, from its content."""
    size_px: tuple[int, int]
    """Width and height, upright."""
    converted_from: str | None = None
    """The colour space that it is converted from; None when it is sRGB."""
    profile_unreadable: bool = False
    """It has a colour profile of which nothing can be made; its numbers are taken as sRGB."""
    transparent: bool = False
    """Parts of it become white."""
