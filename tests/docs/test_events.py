"""docs/operations/monitoring.md lists every reason of an Event, with its type and when it is posted."""

import re

from support.markdown import OPERATIONS, read

from darkroom_contract.event_reasons import EVENTS
from darkroom_operator.telemetry.event_recorder import (
    BURST,
    JOB_BURST,
    MAX_DELAY_SECONDS,
    PER_SECOND,
    QUEUED_BURST,
    QUEUED_PER_SECOND,
)

SECTION = read(OPERATIONS / "monitoring.md").split("\n## Events\n", 1)[1].split("\n## ", 1)[0]


def test_the_tables_are_the_contract_s() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", SECTION, re.MULTILINE)
    assert rows == [(reason, meaning.type, meaning.when.rstrip(".")) for reason, meaning in EVENTS.items()]


def test_the_limits_are_the_operator_s() -> None:
    assert f"at most {JOB_BURST} Events of\none job at once" in SECTION
    assert f"in all {BURST} at once and then {PER_SECOND:g} a second" in SECTION
    assert f"Of them, at most {QUEUED_BURST} and then {QUEUED_PER_SECOND:g} a second are `Queued`" in SECTION
    assert f"up to {MAX_DELAY_SECONDS:g} seconds" in SECTION
