"""Remarks of a run: warnings about input that was cut, skipped, converted or replaced. Any module can add one.

Each remark is logged at once and goes into the outcome; the operator copies it to the job's status.
"""

import logging

from darkroom_contract.remarks import MAX_REMARK_CHARACTERS, Remark, RemarkReason

log = logging.getLogger(__name__)


class Remarks:
    """The remarks of a run, without duplicates, in the order in which they were added."""

    def __init__(self) -> None:
        self._collected: list[Remark] = []

    def add(self, reason: RemarkReason, message: str) -> None:
        """`message` is one or more whole sentences. The outcome cuts it at 400 characters; the log does not."""
        short = message if len(message) <= MAX_REMARK_CHARACTERS else message[: MAX_REMARK_CHARACTERS - 1] + "…"
        remark = Remark(reason=reason, message=short)
        if remark not in self._collected:
            log.warning("%s: %s", reason, message)
            self._collected.append(remark)

    @property
    def collected(self) -> tuple[Remark, ...]:
        return tuple(self._collected)
