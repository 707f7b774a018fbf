"""The journal of runs: overlapping runs, restarts, incomplete lines, a full disk."""

import contextlib
import json
import resource

import pytest

from darkroom_contract.names import LABEL_ATTEMPT, LABEL_JOB_UID
from darkroom_local.node.journal import (
    ContainerEnd,
    RunJournal,
    overlapping_runs,
    pair_events,
    read_journal,
    runs_by_job,
)


def lines(story):
    """`+a` is the start of pod a, `-a` its end."""
    for number, word in enumerate(story.split()):
        entry = {"uid": word[1], "pod": f"pod-{word[1]}", "pid": 100 + number, "time_ns": number, "labels": {}}
        ended = {"exit_code": 0, "reason": "Completed", "note": ""}
        yield {"event": "start", **entry} if word[0] == "+" else {"event": "end", **entry, **ended}


@contextlib.contextmanager
def file_size_limit(size):
    """Limit the size of files, to simulate a full disk. Python ignores the signal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ("", []),
        ("+a -a", []),
        ("+a -a +b -b +c -c", []),
        ("+a", []),
        ("+a -a +b", []),
        ("+a +b -a -b", ["ab"]),
        ("+a +b -b -a", ["ab"]),
        ("+a +b", ["ab"]),
        ("+a +b -a +c -b -c", ["ab", "bc"]),
        ("+a +b +c", ["ab", "ac", "bc"]),
    ],
)
def test_runs_overlap_when_one_starts_before_the_other_ended(story, expected):
    assert [a.pod_uid + b.pod_uid for a, b in overlapping_runs(pair_events(lines(story)))] == expected


def test_overlap_is_found_when_the_clock_was_set_back():
    entries = list(lines("+a +b -a -b"))
    entries[1]["time_ns"] = entries[2]["time_ns"] + 1_000_000

    assert len(overlapping_runs(pair_events(entries))) == 1


@pytest.mark.parametrize("story", ["-a", "+a +a", "+a -a -a", "+a -a +a"])
def test_an_impossible_sequence_of_events_is_rejected(story):
    with pytest.raises(ValueError, match="line"):
        pair_events(lines(story))


def test_runs_are_read_back_after_a_restart(tmp_path):
    path = tmp_path / "record.jsonl"
    first = RunJournal(path)
    first.start("a", "pod-a", 11, {"darkroom.dev/job-name": "job"})
    first.end("a", 0, "Completed")
    first.start("b", "pod-b", 12, {})
    first.close()

    second = RunJournal(path)
    second.end("b", 137, "Error", "lost with the node")
    second.start("c", "pod-c", 13, {})
    second.close()

    a, b, c = read_journal(path)
    assert (a.pod_name, a.pid, a.exit_code, a.labels) == ("pod-a", 11, 0, {"darkroom.dev/job-name": "job"})
    assert (b.exit_code, b.note) == (137, "lost with the node")
    assert c.ended is None
    assert overlapping_runs([a, b, c]) == []
    assert (second.runs["b"], second.runs["c"]) == (b, c)


def test_an_incomplete_last_line_is_ignored_and_then_overwritten(tmp_path):
    path = tmp_path / "record.jsonl"
    journal = RunJournal(path)
    journal.start("a", "pod-a", 11, {})
    journal.close()
    with path.open("a") as file:
        file.write('{"event": "end", "ui')
    assert [run.ended for run in read_journal(path)] == [None]

    journal = RunJournal(path)
    journal.end("a", 0, "Completed")
    journal.close()

    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["start", "end"]


def test_a_line_cut_by_a_full_disk_is_removed(tmp_path):
    journal = RunJournal(tmp_path / "record.jsonl")
    journal.start("a", "pod-a", 11, {})
    limited = len((tmp_path / "record.jsonl").read_bytes()) + 10

    with file_size_limit(limited), pytest.raises(OSError, match=r"large|space"):
        journal.end("a", 0, "Completed")
    assert journal.runs["a"].ended is None

    journal.end("a", 0, "Completed")
    journal.close()
    assert [run.exit_code for run in read_journal(tmp_path / "record.jsonl")] == [0]


def test_a_pod_runs_until_its_last_container_ended(tmp_path):
    """The end of one of several containers is in the journal, and does not end the run."""
    path = tmp_path / "record.jsonl"
    first = RunJournal(path)
    first.start("a", "pod-a", 11, {})
    first.container_end("a", "runner", ContainerEnd(7, "Error", 1, 2))
    first.start("b", "pod-b", 12, {})
    first.close()

    second = RunJournal(path)
    second.end("a", 7, "Error")
    second.end("b", 0, "Completed")
    second.close()

    a, b = read_journal(path)
    assert a.containers == {"runner": ContainerEnd(7, "Error", 1, 2)}
    assert (a.began, b.began, a.ended, b.ended) == (0, 2, 3, 4)
    assert overlapping_runs([a, b]) == [(a, b)]


def test_a_container_end_after_the_end_of_its_run_is_rejected():
    entry = {"event": "container end", "uid": "a", "pod": "pod-a", "container": "c"}
    entry |= {"exit_code": 0, "reason": "Completed", "start_ns": 1, "time_ns": 2}

    with pytest.raises(ValueError, match="line 3"):
        pair_events([*lines("+a -a"), entry])


def labels_of(job, attempt=1, **more):
    return {LABEL_JOB_UID: job, LABEL_ATTEMPT: str(attempt), **more}


def test_a_pod_that_is_handed_over_counts_as_one_run_for_each_job(tmp_path):
    path = tmp_path / "record.jsonl"
    first = RunJournal(path)
    first.start("a", "pod-a", 11, labels_of("job-1"))
    first.relabel("a", labels_of("job-1", idle="yes"))
    first.relabel("a", labels_of("job-2"))
    first.close()
    second = RunJournal(path)
    second.relabel("a", labels_of("job-2", attempt=2))
    second.end("a", 7, "Error")
    second.start("b", "pod-b", 12, labels_of("job-3"))
    second.close()

    pods = read_journal(path)
    runs = runs_by_job(pods)

    assert [(run.pod_uid, run.labels[LABEL_JOB_UID], run.exit_code) for run in runs] == [
        ("a", "job-1", None),
        ("a", "job-2", None),
        ("a", "job-2", 7),
        ("b", "job-3", None),
    ]
    assert [(run.began, run.ended) for run in runs] == [(0, 2), (2, 3), (3, 4), (5, None)]
    assert overlapping_runs(pods) == overlapping_runs(runs) == []
    assert pods[0].newest_labels == labels_of("job-2", attempt=2)


def test_a_run_in_a_pod_that_was_handed_over_overlaps_a_run_elsewhere(tmp_path):
    journal = RunJournal(tmp_path / "record.jsonl")
    journal.start("a", "pod-a", 11, labels_of("job-1"))
    journal.start("b", "pod-b", 12, labels_of("job-2"))
    journal.relabel("a", labels_of("job-3"))
    journal.end("b", 0, "Completed")
    journal.close()

    runs = runs_by_job(read_journal(tmp_path / "record.jsonl"))

    overlapping = [tuple(each.labels[LABEL_JOB_UID] for each in pair) for pair in overlapping_runs(runs)]
    assert overlapping == [("job-1", "job-2"), ("job-2", "job-3")]


def test_new_labels_of_a_pod_that_does_not_run_are_rejected():
    entry = {"event": "labels", "uid": "a", "pod": "pod-a", "labels": {}, "time_ns": 2}

    with pytest.raises(ValueError, match="line 3: an unexpected labels"):
        pair_events([*lines("+a -a"), entry])
