"""Commands about jobs and models: what they send and print."""

import json
from pathlib import Path

import pytest
from support.scripted_gateway import ScriptedGateway, content, document, job, lost_connection, problem

from .conftest import Run

MODEL = {
    "model_id": "my-dog",
    "prompt": "a photo of sks dog",
    "base_model": "sdxl",
    "created": "2026-11-29T12:00:00Z",
    "in_training": False,
    "files": [{"name": "dog.safetensors", "form": "Kohya", "url": "/dog", "bytes": 4}],
    "steps": [],
}


def test_jobs_are_a_table_in_a_pipe(gateway: ScriptedGateway, run: Run) -> None:
    waiting = [job(name, "Queued", queue={"position": position}) for name, position in (("train-c", 3), ("train-a", 0))]
    jobs = [*waiting, job("generate-b", prompt="a \x1b[31mdog\non a  beach")]
    gateway.script("GET", "/v1/jobs", document({"jobs": jobs, "total": 12, "next_cursor": "c"}))
    done = run("jobs", "--status", "queued", "--status", "RUNNING", "--kind", "train", "-q", "dog", "--limit", "2")
    heading, first, following, second = done.out.splitlines()
    assert heading.split() == ["ID", "KIND", "STATUS", "PROGRESS", "MODEL", "AGE", "PROMPT"]
    assert first.split()[:6] == ["train-c", "train", "Queued", "3", "ahead", "my-dog"]
    assert following.split()[:5] == ["train-a", "train", "Queued", "next", "my-dog"]
    assert second.startswith("generate-b  generate  Running")
    assert second.endswith("a \N{REPLACEMENT CHARACTER}[31mdog on a beach")
    assert "The newest 3 of 12." in done.err
    assert gateway.requests[0].path == "/v1/jobs?kind=TrainJob&status=Queued&status=Running&q=dog&limit=2"


def test_jobs_as_json_are_one_document_with_all_fields(gateway: ScriptedGateway, run: Run) -> None:
    page = {"jobs": [job(a_later_field=1)], "total": 1, "next_cursor": None}
    gateway.script("GET", "/v1/jobs", document(page))
    done = run("--json", "jobs")
    assert done.json["jobs"][0]["a_later_field"] == 1
    assert done.json["jobs"][0]["created"] == "2026-11-29T12:00:00Z"
    assert list(done.json) == ["jobs", "total", "next_cursor"]
    assert done.err == ""


def test_failed_job_is_shown_with_its_advice(gateway: ScriptedGateway, run: Run) -> None:
    error = {"reason": "DatasetInvalid", "message": "2.png is black.", "advice": "Leave it out."}
    gateway.script("GET", "/v1/jobs/train-a", document(job(status="Failed", error=error)))
    done = run("job", "train-a")
    assert done.code == 0
    assert "Error:        DatasetInvalid: 2.png is black.\nAdvice:       Leave it out.\n" in done.out


def test_finished_job_has_no_progress_and_a_running_one_the_time_left(gateway: ScriptedGateway, run: Run) -> None:
    progress = {"stage": "Training", "step": 1, "total": 4, "progress_percentage": 25, "estimated_remaining_seconds": 9}
    gateway.script("GET", "/v1/jobs/train-a", document(job(progress=progress)))
    assert "Progress:     25% Learning, step 1 of 4, 9s left\n" in run("job", "train-a").out
    gateway.script("GET", "/v1/jobs/train-a", document(job(status="Failed", progress=progress)))
    assert "Progress:     25% Learning, step 1 of 4\n" in run("job", "train-a").out
    gateway.script("GET", "/v1/jobs/train-a", document(job(status="Succeeded", progress=progress)))
    assert "Progress" not in run("job", "train-a").out


@pytest.mark.parametrize(
    ("words", "reason", "advice"),
    [
        (("cancel", "train-x"), "UnknownTask", "List the jobs with: darkroom jobs"),
        (("rm", "train-x"), "UnknownTask", "List the jobs with: darkroom jobs"),
        (("logs", "train-x"), "UnknownTask", "List the jobs with: darkroom jobs"),
        (("models", "rm", "my-cat"), "UnknownModel", "List the models with: darkroom models"),
    ],
)
def test_unknown_name_exits_with_3_and_says_where_the_known_ones_are(
    gateway: ScriptedGateway, run: Run, words: tuple[str, ...], reason: str, advice: str
) -> None:
    paths = {"cancel": "/v1/jobs/train-x/cancel", "logs": "/v1/jobs/train-x/logs", "rm": "/v1/jobs/train-x"}
    method = {"cancel": "POST", "logs": "GET"}.get(words[0], "DELETE")
    gateway.script(method, paths.get(words[0], "/v1/models/my-cat"), problem(404, reason, "There is none."))
    done = run(*words)
    assert (done.code, done.out, done.err) == (3, "", f"darkroom: There is none.\n  {advice}\n")
    assert json.loads(run(*words, "--json").err)["error"]["advice"] == advice


def test_saved_step_that_does_not_exist_is_not_deleted_and_the_others_are_listed(
    gateway: ScriptedGateway, run: Run
) -> None:
    detail = "The model 'my-dog' has no saved step '2000'. Use one of: my-dog@200."
    gateway.script("DELETE", "/v1/models/my-dog%402000", problem(404, "UnknownModel", detail))
    done = run("models", "rm", "my-dog@2000")
    assert (done.code, done.out, done.err) == (3, "", f"darkroom: {detail}\n")


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ("cancel", "Cancelled train-b."),
        ("suspend", "Suspended train-b. Let it continue with: darkroom resume train-b"),
        ("resume", "train-b is no longer suspended."),
        ("retry", "Submitted train-b again, as train-b. Follow it with: darkroom job -f train-b"),
    ],
)
def test_actions_take_several_jobs_and_print_their_ids(
    gateway: ScriptedGateway, run: Run, action: str, sentence: str
) -> None:
    for name in ("train-a", "train-b"):
        gateway.script("POST", f"/v1/jobs/{name}/{action}", document(job(name), 202))
    done = run(action, "train-a", "train-b")
    assert (done.out, done.err.splitlines()[-1]) == ("train-a\ntrain-b\n", sentence)
    assert [record["job"]["id"] for record in run(action, "train-a", "train-b", "--json").records] == [
        "train-a",
        "train-b",
    ]


def test_cancellation_whose_answer_was_lost_prints_the_id(gateway: ScriptedGateway, run: Run) -> None:
    lost = (lost_connection, problem(404, "UnknownTask"))
    gateway.script("POST", "/v1/jobs/train-a/cancel", *lost)
    assert run("cancel", "train-a").out == "train-a\n"
    gateway.script("POST", "/v1/jobs/train-a/cancel", *lost)
    assert run("cancel", "train-a", "--json").json == {"deleted": "train-a"}


def test_priority_is_changed_and_jobs_are_removed_with_files(gateway: ScriptedGateway, run: Run) -> None:
    gateway.script("PATCH", "/v1/jobs/train-a", document(job(priority=-5)))
    gateway.script("DELETE", "/v1/jobs/train-a", content(b"", 204))
    assert run("priority", "train-a", "-5").err == "train-a has priority -5 now.\n"
    assert gateway.requests[0].json == {"priority": -5}
    removed = run("rm", "--files", "train-a")
    assert (removed.out, removed.err) == ("train-a\n", "Deleted train-a with its files.\n")
    assert gateway.requests[1].path == "/v1/jobs/train-a?files=true"


def test_log_is_unchanged_in_a_pipe(gateway: ScriptedGateway, run: Run) -> None:
    gateway.script("GET", "/v1/jobs/train-a/logs", content(b"loss\t0.1\n\x1b[1mdone\n"))
    assert run("logs", "train-a", "--attempt", "2").out == "loss\t0.1\n\x1b[1mdone\n"
    assert gateway.requests[0].path == "/v1/jobs/train-a/logs?attempt=2"


def test_files_of_a_job_are_saved(gateway: ScriptedGateway, run: Run, tmp_path: Path) -> None:
    artifact = {"name": "a.png", "role": "image", "url": "/a.png", "bytes": 7}
    gateway.script("GET", "/v1/jobs/generate-b", document(job("generate-b", "Succeeded", artifacts=[artifact])))
    gateway.script("GET", "/a.png", content(b"picture"))
    assert run("download", "generate-b", "-o", str(tmp_path / "out")).out == f"{tmp_path}/out/a.png\n"


def test_models_are_listed_shown_saved_and_deleted(gateway: ScriptedGateway, run: Run, tmp_path: Path) -> None:
    gateway.script("GET", "/v1/models", document({"models": [MODEL]}))
    gateway.script("GET", "/v1/models/my-dog", document(MODEL))
    gateway.script("GET", "/dog", content(b"lora"))
    gateway.script("DELETE", "/v1/models/my-dog", content(b"", 204))
    assert run("models").out.splitlines()[1].split()[0] == "my-dog"
    assert run("models", "--json").json["models"][0]["model_id"] == "my-dog"
    assert "dog.safetensors (Kohya)" in run("models", "show", "my-dog").out
    assert run("models", "download", "my-dog", "--form", "kohya", "-o", str(tmp_path)).code == 0
    assert (tmp_path / "dog.safetensors").read_bytes() == b"lora"
    assert "It has: Kohya." in run("models", "download", "my-dog", "--form", "peft").err
    assert run("models", "rm", "my-dog").out == "my-dog\n"


def test_saved_step_is_named_as_it_was_given(gateway: ScriptedGateway, run: Run) -> None:
    """The gateway answers with its model and its own files."""
    gateway.script("GET", "/v1/models/my-dog%40200", document({**MODEL, "id": "my-dog@200", "step": 200}))
    gateway.script("DELETE", "/v1/models/my-dog%40200", content(b"", 204))
    assert "my-dog@200\n" in run("models", "show", "my-dog@200").out
    assert "my-dog@200 has no file of this form" in run("models", "download", "my-dog@200", "--form", "peft").err
    assert "Deleted the saved step my-dog@200." in run("models", "rm", "my-dog@200").err


def test_model_is_imported_under_the_name_of_its_file(gateway: ScriptedGateway, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "film-grain.safetensors"
    path.write_bytes(b"weights")
    gateway.script("POST", "/v1/models", document({**MODEL, "model_id": "film-grain"}, 201))
    imported = run("models", "import", str(path), "--prompt", "film grain")
    assert imported.out == "film-grain\n"
    draw = "darkroom generate 'a photo of sks dog' --model film-grain"
    assert imported.err == f"Imported film-grain. Draw with it: {draw}\n"
    [request] = gateway.requests
    assert request.path == "/v1/models?model_id=film-grain&prompt=film+grain"
    assert b"weights" in request.body
    pickle = run("models", "import", str(tmp_path / "old.ckpt"))
    assert (pickle.code, "old.ckpt does not exist" in pickle.err) == (2, True)


def test_key_is_stored_only_if_the_gateway_accepts_it(gateway: ScriptedGateway, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "config" / "darkroom" / "config.toml"
    page = document({"jobs": [], "total": 0, "next_cursor": None})
    gateway.script("GET", "/v1/jobs", problem(401, "Unauthorized"), page)
    assert run("login", stdin="wrong-key\n").code == 5
    assert not path.exists()
    assert run("login", stdin="right-key\n").out == f"{path}\n"
    assert gateway.requests[1].headers["authorization"] == "Bearer right-key"
    run("jobs")
    assert gateway.requests[2].headers["authorization"] == "Bearer right-key"


def test_login_without_a_key_does_not_try_that_of_the_environment(
    gateway: ScriptedGateway, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_API_KEY", "key-of-environment")
    gateway.script("GET", "/v1/jobs", document({"jobs": []}))
    assert "needs no key" in run("login", stdin="\n").err
    assert "authorization" not in gateway.requests[0].headers
