"""Runs one after another in one process: what is published, what is stored, and when the process ends."""

import json
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.runner_processes import SDXL_NAME, write_document
from support.s3_server import BUCKET
from support.warm_pods import WarmPod, wait_until

from darkroom_contract import environment as names
from darkroom_contract.handover import ACKNOWLEDGED_FILE, RUN_FILE
from darkroom_contract.outcome import Reason
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.storage.keys import manifest_key, run_log_key


def picture(**changes: Any) -> GenerateJobSpec:
    return GenerateJobSpec.from_dict({"prompt": "a dog", "images": {"steps": 2, "seed": 3}, **changes})


def stored(s3: Any, key: str) -> str | None:
    try:
        content: bytes = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    except ClientError:
        return None
    return content.decode()


@pytest.fixture
def idle_pod(pod: WarmPod) -> WarmPod:
    """Waits for its second run."""
    pod.outcome(pod.start(picture()))
    wait_until(lambda: "waiting 60 s" in pod.log, "an idle process")
    return pod


def test_runs_after_one_another_are_complete_in_storage_before_they_are_published(pod: WarmPod, s3: Any) -> None:
    first = pod.start(picture())
    outcomes = {first: pod.outcome(first)}
    logs = {first: stored(s3, run_log_key(first, 1))}
    second = pod.hand_over(picture(prompt="a cat"), attempt=2)
    outcomes[second] = pod.outcome(second)
    logs[second] = stored(s3, run_log_key(second, 2))

    assert [(each.job_uid, each.attempt) for each in outcomes.values()] == [(first, 1), (second, 2)]
    for (uid, outcome), attempt in zip(outcomes.items(), (1, 2), strict=True):
        manifest = stored(s3, manifest_key(uid))
        assert manifest is not None
        assert json.loads(manifest)["outcome"]["files"][0]["sha256"] == outcome.files[0].sha256
        log = logs[uid]
        assert log is not None
        assert log.splitlines()[0].endswith(f"INFO run {attempt} of GenerateJob default/a-job ({uid})")
        assert log.splitlines()[-1].endswith("INFO succeeded with 1 files")
        assert log.count("INFO run ") == 1
    assert "test-sdxl is in memory from an earlier run" in (logs[second] or "")


def test_idle_process_ends_at_once_after_sigterm(idle_pod: WarmPod) -> None:
    uid = idle_pod.run.uid
    begin = time.monotonic()
    idle_pod.run.process.send_signal(signal.SIGTERM)

    assert idle_pod.run.process.wait(20) == 0
    assert time.monotonic() - begin < 10
    # No success: an operator of an earlier release would take it for that of the next job.
    assert idle_pod.message is not None
    assert (idle_pod.message.job_uid, idle_pod.message.reason) == (uid, Reason.INTERRUPTED)


def test_process_ends_when_no_run_comes_in_time(pod: WarmPod) -> None:
    uid = pod.start(picture(), **{names.WARM_SECONDS: "0.05"})
    pod.outcome(uid)

    finished = pod.run.finish()

    assert (finished.exit_code, finished.outcome.job_uid) == (0, uid)
    assert finished.log.splitlines()[-1].endswith("the process ends: no run document came")


def test_process_without_acknowledgement_ends_with_its_outcome(pod: WarmPod) -> None:
    uid = pod.start(picture())
    pod.outcome(uid, acknowledge=False)
    # That of another run is not it.
    pod.volume.write(ACKNOWLEDGED_FILE, f"{uid}/2")

    finished = pod.run.finish()

    assert (finished.exit_code, finished.outcome.job_uid, finished.outcome.succeeded) == (0, uid, True)
    assert "the process ends: its outcome was not acknowledged" in finished.log
    # Published again every second.
    assert len(pod.published(uid)) > 5


def test_outcome_is_published_once_redis_is_back(
    start_run: Callable[..., Any],
    serve_redis: Callable[[int], AbstractContextManager[str]],
    unused_port: int,
    tmp_path: Any,
) -> None:
    pod = WarmPod(start_run, tmp_path, f"redis://127.0.0.1:{unused_port}/0")
    uid = pod.start(picture(), **{names.REDIS_URL: f"redis://127.0.0.1:{unused_port}/0"})
    wait_until(lambda: "can't publish the outcome" in pod.log, "a failed publication")

    with serve_redis(unused_port):
        outcome = pod.outcome(uid)
        second = pod.carry_out(picture())
    pod.close()

    assert outcome.succeeded
    assert second.succeeded


def test_repeated_document_is_carried_out_once(idle_pod: WarmPod) -> None:
    uid = idle_pod.hand_over(picture())
    idle_pod.outcome(uid)
    document = (idle_pod.volume.folder / RUN_FILE).read_text()
    wait_until(lambda: idle_pod.log.count("waiting 60 s") == 2, "an idle process")

    # The first run's, too; and both in another form than before.
    for text in (json.dumps(json.loads(document), indent=1), document):
        idle_pod.volume.write(RUN_FILE, text)
    idle_pod.hand_over(picture(), uid=idle_pod.run.uid)
    third = idle_pod.hand_over(picture())
    idle_pod.outcome(third)

    assert idle_pod.log.count(f"({uid})") == 1
    assert idle_pod.log.count(f"({idle_pod.run.uid})") == 1
    assert idle_pod.log.count(f"({third})") == 1


def test_next_attempt_of_a_job_is_carried_out(idle_pod: WarmPod, s3: Any) -> None:
    uid = idle_pod.hand_over(picture(), uid=idle_pod.run.uid, attempt=2)

    wait_until(lambda: any(each.attempt == 2 for each in idle_pod.published(uid)), "the outcome of attempt 2")
    assert "already finished by run 1" in (stored(s3, run_log_key(uid, 2)) or "")


@pytest.mark.parametrize(
    ("replaced", "fault"),
    [
        (('"default"', '"other"'), "is for namespace 'other'; this pod is in 'default'"),
        (('"attempt"', '"try"'), "the run document that was handed over is invalid"),
    ],
    ids=["another namespace", "invalid"],
)
def test_refused_document_ends_the_process(idle_pod: WarmPod, s3: Any, replaced: tuple[str, str], fault: str) -> None:
    uid = "a-refused-job"
    idle_pod.volume.write(RUN_FILE, write_document(picture(), uid, SDXL_NAME, 1).replace(*replaced))

    finished = idle_pod.run.finish()

    assert (finished.exit_code, finished.outcome.job_uid) == (0, idle_pod.run.uid)
    assert fault in finished.log
    assert idle_pod.published(uid) == []
    assert stored(s3, manifest_key(uid)) is None


def test_failed_run_is_not_published_and_ends_the_process(idle_pod: WarmPod, s3: Any) -> None:
    uid = idle_pod.hand_over(picture(modelId="nobody"))

    finished = idle_pod.run.finish()

    assert (finished.exit_code, finished.outcome.reason) == (1, Reason.MODEL_NOT_FOUND)
    assert (finished.outcome.job_uid, finished.outcome.attempt) == (uid, 1)
    assert idle_pod.published(uid) == []
    assert "ModelNotFound" in (stored(s3, run_log_key(uid, 1)) or "")


@pytest.fixture
def busy_pod(idle_pod: WarmPod, events: Callable[[str], list[dict[str, Any]]]) -> tuple[WarmPod, str]:
    """In the middle of its second run, whose job's uid is the second value."""
    uid = idle_pod.hand_over(picture(images={"steps": 200, "count": 4}))
    wait_until(lambda: any(each["step"] for each in events(uid)), "denoising")
    return idle_pod, uid


def test_sigterm_in_a_later_run_interrupts_it(busy_pod: tuple[WarmPod, str]) -> None:
    pod, uid = busy_pod
    pod.run.process.send_signal(signal.SIGTERM)

    finished = pod.run.finish(20)

    assert (finished.exit_code, finished.outcome.reason) == (143, Reason.INTERRUPTED)
    assert (finished.outcome.job_uid, finished.outcome.attempt) == (uid, 1)
    assert pod.published(uid) == []


def test_process_killed_in_a_later_run_leaves_no_outcome(busy_pod: tuple[WarmPod, str]) -> None:
    pod, _ = busy_pod
    pod.run.process.kill()
    pod.run.process.wait(20)

    assert pod.run.message.read_text() == ""


def test_process_ends_after_max_runs(pod: WarmPod) -> None:
    pod.outcome(pod.start(picture(), **{names.MAX_RUNS: "2"}))
    uid = pod.hand_over(picture())

    finished = pod.run.finish()

    assert (finished.exit_code, finished.outcome.job_uid) == (0, uid)
    assert "the process ends: it has carried out 2 runs" in finished.log
    assert pod.published(uid) == []


@pytest.mark.parametrize("missing", [names.WARM_SECONDS, names.OUTCOME_KEY, names.HANDOVER_DIR])
def test_process_without_warm_settings_ends_with_its_run(pod: WarmPod, missing: str) -> None:
    uid = pod.start(picture(), **{missing: ""})

    finished = pod.run.finish()

    assert (finished.exit_code, finished.outcome.job_uid) == (0, uid)
    assert pod.published(uid) == []
