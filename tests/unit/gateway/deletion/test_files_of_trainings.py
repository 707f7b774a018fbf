"""A training that is deleted with its files leaves no sample, no saved step, no caption and no mask behind."""

from support.isolated_namespace import IsolatedNamespace, uri_of

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import run_prefix, sample_key, saved_step_prefix

LORA = "pytorch_lora_weights.safetensors"


def test_samples_and_saved_steps_are_deleted_with_their_training(isolated: IsolatedNamespace) -> None:
    prefix = isolated.dataset()
    isolated.store(prefix + "000.txt", prefix + "000.mask.png")
    uid = isolated.training("job", uri_of(prefix))
    isolated.store(
        sample_key(uid, "job-step-00100-0.png"), *(saved_step_prefix(uid, each) + LORA for each in ("100", "best"))
    )
    isolated.request(Kind.TRAIN, "job")

    assert isolated.proceed() == [uid]

    assert isolated.keys(run_prefix(uid)) == isolated.keys(prefix) == []


def test_samples_are_deleted_although_the_model_is_kept(isolated: IsolatedNamespace) -> None:
    uid = isolated.training("job", uri_of(isolated.dataset()))
    isolated.store(sample_key(uid, "job-step-00100-0.png"))
    isolated.model(uid)
    isolated.request(Kind.TRAIN, "job")

    isolated.proceed()

    kept = isolated.keys(run_prefix(uid))
    assert run_prefix(uid) + LORA in kept
    assert not any("/samples/" in each for each in kept)
