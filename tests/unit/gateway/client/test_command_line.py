"""The command `darkroom` against a real gateway."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.event_streams import StreamedJob
from support.lora_files import lora_bytes
from support.s3_server import BUCKET

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import run_log_key

Command = Callable[..., tuple[int, str, str]]


def test_train_prints_the_id_of_a_job_that_the_cluster_has(command: Command, cluster: Any, photos: Path) -> None:
    code, out, errors = command("train", str(photos), "-m", "command-dog", "-p", "a photo of sks dog", "--steps", "9")
    assert code == 0, errors
    assert cluster.get(Kind.TRAIN, out.strip())["spec"]["maxSteps"] == 9


def test_refused_photo_is_named(command: Command, photos: Path) -> None:
    (photos / "2.jpg").write_bytes(b"no photo")
    code, out, errors = command("train", str(photos), "-m", "command-dog", "-p", "a photo of sks dog")
    assert (code, out) == (2, "")
    assert "2.jpg" in errors


def test_jobs_are_listed_shown_and_cancelled(command: Command, streamed_job: StreamedJob) -> None:
    name = streamed_job.name
    streamed_job.set_status(phase="Queued", queue={"position": 2})
    listed = json.loads(command("jobs", "--json", "--limit", "1000")[1])
    assert name in [job["id"] for job in listed["jobs"]]
    assert "Status:       Queued, 2 ahead in the queue" in command("job", name)[1]
    assert command("suspend", name)[0] == 0
    assert command("cancel", name)[1] == f"{name}\n"
    assert command("job", name)[0] == 3
    assert command("logs", name)[0] == 3


def test_log_is_followed_to_the_end_of_the_run(command: Command, streamed_job: StreamedJob, bucket: Any) -> None:
    streamed_job.set_status(phase="Running", attempts=1)
    bucket.put_object(Bucket=BUCKET, Key=run_log_key(streamed_job.uid, 1), Body=b"loading\n")
    ending = threading.Timer(0.5, streamed_job.set_status, kwargs={"phase": "Succeeded", "attempts": 1})
    ending.start()
    assert command("logs", "-f", streamed_job.name) == (0, "loading\n", "")
    ending.join()


def test_model_is_imported_listed_saved_and_deleted(command: Command, tmp_path: Path) -> None:
    content = lora_bytes()
    path = tmp_path / "command-style.safetensors"
    path.write_bytes(content)
    code, out, note = command("models", "import", str(path), "-p", "a style")
    assert (code, out) == (0, "command-style\n")
    assert "darkroom generate 'a style' --model command-style" in note
    assert "command-style" in [each["model_id"] for each in json.loads(command("models", "--json")[1])["models"]]
    code, out, errors = command("models", "download", "command-style", "-o", str(tmp_path / "out"))
    assert code == 0, errors
    assert Path(out.strip()).read_bytes() == content
    assert command("models", "rm", "command-style")[:2] == (0, "command-style\n")
    assert command("models", "show", "command-style")[0] == 3
