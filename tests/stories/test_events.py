"""`kubectl describe` and `kubectl get events` show the whole story of a job."""

import os
import re
import signal

from support.darkroom_up import Darkroom, wait_for

LINE = re.compile(r"^  (?:Normal|Warning) +(\w+) .*? darkroom\.dev/darkroom-operator  (.*)$", re.MULTILINE)
"""Of `kubectl describe`: type, reason, age, controller, note."""
RUN = ["Admitted", "Started"]


def described(darkroom: Darkroom, kind: str, name: str) -> list[tuple[str, str]]:
    """Reason and note of each Event, in the order in which they are shown. Remarks are left out."""
    found = LINE.findall(darkroom.kubectl("describe", kind, name))
    return [(reason, note) for reason, note in found if "Photos" not in reason]


def reasons(darkroom: Darkroom, kind: str, name: str) -> list[str]:
    return [reason for reason, _ in described(darkroom, kind, name)]


def wait_for_story(darkroom: Darkroom, kind: str, name: str, end: str) -> list[str]:
    """All reasons, once the last is the wanted one."""
    wait_for(lambda: reasons(darkroom, kind, name)[-1:] == [end], f"the last Event of {name} is {end}")
    return reasons(darkroom, kind, name)


def listed(darkroom: Darkroom, name: str) -> list[list[str]]:
    """Rows in the table of `kubectl get events`."""
    table = darkroom.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}")
    header, *rows = (line.split(maxsplit=4) for line in table.splitlines())
    assert " ".join(header).split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    return rows


def test_a_training_that_succeeds_shows_its_story(darkroom: Darkroom) -> None:
    name = darkroom.train(prompt="a photo of sks star", model_id="event-star", max_steps=10)
    darkroom.wait_for_phase(name, "Succeeded")
    assert wait_for_story(darkroom, "trainjob", name, "Succeeded") == ["Queued", *RUN, "Succeeded"]
    notes = dict(described(darkroom, "trainjob", name))
    assert re.match(r"Run 1 holds slot 0\. (Created pod|Took over the idle pod) ", notes["Admitted"])
    assert re.fullmatch(r"Run 1 succeeded with \d files\.", notes["Succeeded"])
    shown = [row for row in listed(darkroom, name) if "Photos" not in row[2]]
    assert [row[1:4] for row in shown] == [
        ["Normal", reason, f"trainjob/{name}"] for reason in ("Queued", *RUN, "Succeeded")
    ]


def test_a_training_that_is_suspended_and_resumed_shows_its_story(darkroom: Darkroom) -> None:
    name = darkroom.train(prompt="a photo of sks star", model_id="event-pause", max_steps=150)
    darkroom.wait_for_phase(name, "Running")
    darkroom.kubectl("patch", "trainjob", name, "--type=merge", "-p", '{"spec":{"suspend":true}}')
    darkroom.wait_for_phase(name, "Suspended")
    darkroom.kubectl("patch", "trainjob", name, "--type=merge", "-p", '{"spec":{"suspend":false}}')
    darkroom.wait_for_phase(name, "Succeeded")
    shown = wait_for_story(darkroom, "trainjob", name, "Succeeded")
    # Back in an empty queue it may be admitted before it has a place again.
    assert [reason for reason in shown if reason != "Queued"] == [*RUN, "Suspended", "Resumed", *RUN, "Succeeded"]
    assert shown[0] == "Queued"
    assert dict(described(darkroom, "trainjob", name))["Suspended"].startswith("Run 1 was stopped. ")


def test_a_generation_that_fails_and_is_retried_shows_its_story(darkroom: Darkroom) -> None:
    name = darkroom.generate(prompt="a blue square", steps=80, count=4, cache_profile="Disabled")
    darkroom.wait_for_phase(name, "Running")
    # The node may learn of a hand-over after the status.
    [run] = wait_for(lambda: darkroom.runs_of(name), "the node has the run")
    os.killpg(run.pid, signal.SIGKILL)
    darkroom.wait_for_phase(name, "Succeeded")
    shown = wait_for_story(darkroom, "generatejob", name, "Succeeded")
    assert [reason for reason in shown if reason != "Queued"] == [*RUN, "Retrying", *RUN, "Succeeded"]
    retried = dict(described(darkroom, "generatejob", name))["Retrying"]
    assert re.match(
        r"Run 1 failed \(PodFailed\)\. The next one starts at \d\d:\d\d:\d\d UTC at the earliest\. ", retried
    )
    assert ["Warning", "Retrying"] in [row[1:3] for row in listed(darkroom, name)]
