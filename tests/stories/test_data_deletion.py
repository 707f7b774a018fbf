"""A person in the photos wants their data deleted: during the training, and after a model was trained."""

from support.darkroom_up import Darkroom, wait_for

from darkroom_contract.storage.keys import parse_uri


def keys(darkroom: Darkroom, prefix: str) -> list[str]:
    listed = darkroom.bucket.list_objects_v2(Bucket="darkroom", Prefix=prefix)
    return [each["Key"] for each in listed.get("Contents", [])]


def prefixes_of(darkroom: Darkroom, task_id: str) -> tuple[str, str]:
    """The prefixes of a training's photos and of its run's files."""
    job = darkroom.resource("trainjob", task_id)
    return parse_uri(job["spec"]["dataset"]["uri"])[1], f"runs/{job['metadata']['uid']}/"


def test_deleting_a_running_training_deletes_its_photos(darkroom: Darkroom) -> None:
    task_id = darkroom.train(prompt="a photo of sks star", model_id="deleted-early", max_steps=2000, checkpoint_steps=5)
    photos, files = prefixes_of(darkroom, task_id)
    darkroom.wait_for_phase(task_id, "Running")
    wait_for(lambda: keys(darkroom, f"{files}checkpoint"), "the run has saved a state")

    answer = darkroom.http.delete(f"/jobs/{task_id}", params={"files": "true"})

    assert answer.status_code == 202
    assert answer.json()["deletes_files"] is True
    wait_for(lambda: darkroom.http.get(f"/jobs/{task_id}").status_code == 404, "the job is gone")
    assert keys(darkroom, photos) == keys(darkroom, files) == []
    assert darkroom.record()[-1].ended is not None


def test_model_stays_after_its_photos_until_it_is_deleted(darkroom: Darkroom) -> None:
    task_id = darkroom.train(prompt="a photo of sks star", model_id="deleted-late", max_steps=2)
    photos, files = prefixes_of(darkroom, task_id)
    waiting = darkroom.generate(prompt="a photo of sks star", path="/generate/lora", model_id="deleted-late", steps=2)
    assert darkroom.http.delete("/models/deleted-late").status_code == 409
    darkroom.wait_for_phase(task_id, "Succeeded")

    assert darkroom.http.delete(f"/jobs/{task_id}", params={"files": "true"}).status_code in (202, 204)
    wait_for(lambda: darkroom.http.get(f"/jobs/{task_id}").status_code == 404, "the training is gone")
    assert keys(darkroom, photos) == []
    assert keys(darkroom, files) == [
        files + each for each in ("deleted-late.safetensors", "pytorch_lora_weights.safetensors")
    ]
    darkroom.wait_for_phase(waiting, "Succeeded")

    assert darkroom.http.delete("/models/deleted-late").status_code == 204
    assert keys(darkroom, files) == []
    assert [key for key in keys(darkroom, "models/") if "deleted-late" in key] == []
    again = darkroom.http.post("/generate/lora", params={"prompt": "a star", "model_id": "deleted-late"})
    assert again.status_code == 404
