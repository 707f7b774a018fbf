"""Remarks of one run: what it cut, left out, converted or replaced. Any part of the runner adds to them.

Each goes to the log at once and to the outcome at the end; the operator copies it from there into the job's status.
"""

import logging

from darkroom_contract.remarks import MAX_REMARK_CHARACTERS, Remark, RemarkReason

log = logging.getLogger(__name__)


class Remarks:
    """Collects remarks, each once, in the order in which they came."""

    def __init__(self) -> None:
        self._found: list[Remark] = []

    def add(self, reason: RemarkReason, message: str) -> None:
        """`message` is whole sentences; beyond 400 characters it is cut in the outcome, not in the log."""
        short = message if len(message) <= MAX_REMARK_CHARACTERS else message[: MAX_REMARK_CHARACTERS - 1] + "…"
        remark = Remark(reason=reason, message=short)
        if remark not in self._found:
            log.warning("%s: %s", reason, message)
            self._found.append(remark)

    @property
    def found(self) -> tuple[Remark, ...]:
        return tuple(self._found)
