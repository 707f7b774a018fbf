"""`darkroom generate` saves each picture as soon as it is finished, and only once."""

import errno
import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest
from support.scripted_gateway import Answer, ScriptedGateway, content, document, events, job, problem

from .conftest import Run

JOB = "/v1/jobs/generate-b"
NAME, OTHER = "generate-b-seed-7.png", "generate-b-seed-8.png"
ANNOUNCED = f"/jobs/generate-b/files/{NAME}"


def picture(name: str, body: bytes, url: str) -> dict[str, Any]:
    sha256 = hashlib.sha256(body).hexdigest()
    return {"name": name, "role": "image", "url": url, "bytes": len(body), "sha256": sha256}


def announcing(*files: str) -> Answer:
    progress = {"stage": "Denoising", "step": 1, "total": 2, "files": files}
    return events(("progress", progress, "1-0"), ("progress", progress, "2-0"), ("end", {"reason": "Succeeded"}, ""))


@pytest.fixture
def generate(gateway: ScriptedGateway, run: Run, tmp_path: Path):
    """Runs the command for a job that answers so at each poll, and whose stream is `stream`."""

    def start(stream: Answer, *polls: dict[str, Any], options: tuple[str, ...] = ()):
        gateway.script("POST", "/v1/generate-jobs", document(job("generate-b"), 202))
        gateway.script("GET", JOB, *map(document, polls))
        gateway.script("GET", f"{JOB}/events", stream)
        return run("generate", "a dog", "-o", str(tmp_path / "out"), *options)

    return start


@pytest.fixture
def saved(tmp_path: Path):
    """The content of the saved files by their names."""

    def read() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    return read


def test_announced_picture_is_saved_at_once_and_not_downloaded_again(
    gateway: ScriptedGateway, generate, saved, tmp_path: Path
) -> None:
    gateway.script("GET", ANNOUNCED, content(b"seven"))
    gateway.script("GET", "/b", content(b"eight"))
    files = [picture(NAME, b"seven", "/a"), picture(OTHER, b"eight", "/b")]

    done = generate(
        announcing(f"{ANNOUNCED}?kind=GenerateJob"),
        job("generate-b"),
        job("generate-b", "Succeeded", artifacts=files),
        options=("--json",),
    )

    assert saved() == {NAME: b"seven", OTHER: b"eight"}
    assert [each["event"] for each in done.records] == [
        "job", "progress", "saved", "progress", "job", "saved",
    ]  # fmt: skip
    assert done.records[2]["path"] == str(tmp_path / "out" / NAME)
    assert [len(gateway.sent("GET", path)) for path in (ANNOUNCED, "/a", "/b")] == [1, 0, 1]


def test_picture_that_a_later_run_has_drawn_with_other_bytes_is_saved_beside_it(
    gateway: ScriptedGateway, generate, saved
) -> None:
    gateway.script("GET", ANNOUNCED, content(b"first"))
    gateway.script("GET", "/a", content(b"second"))
    end = job("generate-b", "Succeeded", artifacts=[picture(NAME, b"second", "/a")])

    assert generate(announcing(ANNOUNCED), job("generate-b"), end).code == 0

    assert saved() == {NAME: b"first", "generate-b-seed-7-2.png": b"second"}


def test_failed_job_leaves_the_pictures_that_were_saved(gateway: ScriptedGateway, generate, saved) -> None:
    gateway.script("GET", ANNOUNCED, content(b"seven"))
    error = {"reason": "OutOfMemory", "message": "No memory.", "advice": None}

    done = generate(announcing(ANNOUNCED), job("generate-b"), job("generate-b", "Failed", error=error))

    assert (done.code, saved()) == (1, {NAME: b"seven"})


def test_pictures_are_saved_from_polls_where_events_cannot_be_read(gateway: ScriptedGateway, generate, saved) -> None:
    early, late = picture(NAME, b"seven", "/early"), picture(NAME, b"seven", "/late")
    gateway.script("GET", "/early", content(b"seven"))
    running, end = job("generate-b", artifacts=[early]), job("generate-b", "Succeeded", artifacts=[late])

    assert generate(problem(404, "NotFound"), job("generate-b"), running, end).code == 0

    assert saved() == {NAME: b"seven"}
    assert gateway.sent("GET", "/late") == []


def test_lines_tell_one_story_that_ends_after_the_files(
    gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch, generate, tmp_path: Path
) -> None:
    """Both streams in one log, as in CI or by 2>&1."""
    monkeypatch.setattr("sys.stderr", sys.stdout)
    gateway.script("GET", ANNOUNCED, content(b"seven"))
    gateway.script("GET", "/b", content(b"eight"))
    files = [picture(NAME, b"seven", "/a"), picture(OTHER, b"eight", "/b")]
    ends = {"started": "2026-11-29T12:00:00Z", "completed": "2026-11-29T12:00:41Z"}
    denoising = {"stage": "Denoising", "step": 1, "total": 2, "progress_percentage": 40, "files": []}
    stream = events(
        ("progress", {**denoising, "estimated_remaining_seconds": 20}, "1-0"),
        ("progress", {**denoising, "step": 2, "files": [ANNOUNCED]}, "2-0"),
        ("progress", {"stage": "Uploading", "total": 2, "progress_percentage": 98}, "3-0"),
        ("progress", {"stage": "Done", "progress_percentage": 100}, "4-0"),
        ("end", {"reason": "Succeeded"}, ""),
    )
    queued = job("generate-b", "Queued", queue={"position": 0})

    done = generate(stream, queued, job("generate-b", "Succeeded", artifacts=files, **ends))

    assert done.out.replace(f"{tmp_path}/", "").splitlines() == [
        "generate-b: Queued, next in the queue",
        "generate-b: 40% Drawing, step 1 of 2, 20s left",
        f"out/{NAME}",
        "generate-b: 98% Storing the files, file 0 of 2",
        f"out/{OTHER}",
        "generate-b: Succeeded, took 41s. 2 files in out.",
    ]


def test_follow_is_the_default_of_a_generation_and_may_be_written(gateway: ScriptedGateway, generate, saved) -> None:
    gateway.script("GET", "/a", content(b"seven"))
    end = job("generate-b", "Succeeded", artifacts=[picture(NAME, b"seven", "/a")])
    assert generate(announcing(), job("generate-b"), end, options=("--follow",)).code == 0
    assert saved() == {NAME: b"seven"}


def test_output_that_is_no_folder_is_refused_before_the_job_is_submitted(
    gateway: ScriptedGateway, generate, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file")
    done = generate(announcing(), job("generate-b"))
    assert (done.code, gateway.requests) == (7, [])
    assert done.err == f"darkroom: {tmp_path}/out can't be written: it is not a folder.\n  Choose another folder.\n"


def test_full_disk_is_reported_while_the_job_runs_and_with_the_way_out_at_its_end(
    gateway: ScriptedGateway, generate, saved, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("darkroom_client.downloads.os.fsync", full)
    gateway.script("GET", ANNOUNCED, content(b"seven"))
    gateway.script("GET", "/a", content(b"seven"))
    end = job("generate-b", "Succeeded", artifacts=[picture(NAME, b"seven", "/a")])

    done = generate(announcing(ANNOUNCED), job("generate-b"), end)

    fault = f"{tmp_path}/out/{NAME} can't be written: No space left on device."
    assert (done.code, saved()) == (7, {})
    assert done.err.count(f"{NAME} is not saved yet: {fault}\n") == 1
    assert done.err.endswith(
        f"darkroom: {fault}\n  Free some space, or choose another folder. generate-b has succeeded. "
        f"Save its files with: darkroom download generate-b -o {tmp_path}/out\n"
    )


def test_picture_with_a_wrong_digest_is_left_to_the_end_of_the_job(gateway: ScriptedGateway, generate, saved) -> None:
    """As a forged event in Redis claims it. It is reported once."""
    gateway.script("GET", "/a", content(b"seven"))
    forged, true = picture(NAME, b"other", "/a"), picture(NAME, b"seven", "/a")
    polls = [job("generate-b", artifacts=[forged | {"bytes": 5}], attempts=attempts) for attempts in (1, 2)]
    end = job("generate-b", "Succeeded", artifacts=[true])

    done = generate(problem(404, "NotFound"), *polls, end)

    assert (done.code, saved()) == (0, {NAME: b"seven"})
    assert done.err.count(f"{NAME} is not saved yet: {NAME} arrived damaged") == 1
