"""Properties of a photo, and the errors of reading one. Plain data: importing it loads no image library.

`reading` makes these; `decoder` passes them from its child process.

    PhotoError                a photo that can't be used
    ├── UndecodableError      a decoder gave up: damage, or too little memory
    └── PhotoLimitError       decoding it exceeded its memory or time, or crashed the decoder
"""

from dataclasses import dataclass

from darkroom_contract.photos import limits as bounds


class PhotoError(Exception):
    """A photo that can't be used. The message names it, says what is wrong and what to do."""

    def __init__(self, name: str, problem: str, advice: str, given: str | None = None) -> None:
        shown = bounds.short_name(name)
        super().__init__(f"{shown} {problem}. {advice}")
        self.name = shown
        self.problem = problem
        self.advice = advice
        self.given = given
        """The value that is out of bounds, if the problem is one."""


class UndecodableError(PhotoError):
    """`reason` is in the decoder's own words, `size_px` the width and height of the header, if it was readable."""

    def __init__(self, name: str, problem: str, reason: str, size_px: tuple[int, int] | None) -> None:
        super().__init__(name, problem, "Replace it with an intact copy, or remove it.")
        self.reason = reason
        self.size_px = size_px


class PhotoLimitError(PhotoError):
    """Decoding was stopped."""


@dataclass(frozen=True)
class PhotoProperties:
    """Properties of a photo, and what reading it changes."""

    extension: str
    """File extension in storage, from its content."""
    size_px: tuple[int, int]
    """Width and height, upright."""
    converted_from: str | None = None
    """The colour space that it is converted from; None when it is sRGB."""
    profile_unreadable: bool = False
    """Its colour profile can't be used; its values are read as sRGB."""
    transparent: bool = False
    """Transparent parts become white."""
    black: bool = False
    """Black or transparent everywhere: as a mask it selects nothing."""
