"""Which trainings a job with several LoRAs, a saved step or an initial LoRA waits for."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from support.operator_snapshots import NOW, a_job, a_slot, a_snapshot, a_training

from darkroom_contract.jobs import Job
from darkroom_operator.scheduling.admission import admit, awaited_training, queued_jobs, queued_with_trainings
from darkroom_operator.scheduling.queue_position import queue_positions
from darkroom_operator.status.waiting import not_admitted

EARLY = NOW - timedelta(hours=1)


def a_generation(*loras: str) -> Job:
    """A generation that is before all trainings in the queue."""
    used = tuple({"modelId": each} for each in loras)
    return replace(a_job("generation", loras=used, priority=9), created=EARLY)


def continued(name: str, from_: str, to: str, created: datetime | None = None, priority: int = 0) -> Job:
    """A training of the model `to` that continues from the LoRA `from_`."""
    training = a_training(name, modelId=to, training={"initialLora": {"modelId": from_}}, priority=priority)
    return training if created is None else replace(training, created=created)


@pytest.mark.parametrize("model", ["cat", "dog"])
def test_generation_with_several_loras_waits_for_a_training_of_any_of_them(model: str) -> None:
    generation, training = a_generation("cat", "dog"), a_training("training", modelId=model)
    snapshot = a_snapshot(generation, training)

    assert admit(snapshot) == training
    assert queued_jobs(snapshot) == [training, generation]


def test_generation_with_several_loras_comes_after_the_last_of_their_trainings() -> None:
    generation = a_generation("dog", "cat")
    cat = replace(a_training("cat", modelId="cat"), created=NOW - timedelta(minutes=3))
    dog = a_training("dog", modelId="dog")
    snapshot = a_snapshot(generation, cat, dog)

    assert queued_jobs(snapshot) == [dog, cat, generation]
    [_, _, position] = queue_positions(queued_with_trainings(snapshot), snapshot)
    reason, message = not_admitted(generation, position, None)
    assert reason == "WaitingForModel"
    assert message.endswith("Waiting for TrainJob/cat, which trains one of the models dog, cat.")


@pytest.mark.parametrize("reference", ["m@200", "m@best"])
def test_saved_step_waits_for_no_training(reference: str) -> None:
    training = a_training("training")
    short = replace(a_job("short", model_id=reference, priority=9), created=EARLY)

    assert admit(a_snapshot(short, training)) == short
    assert admit(a_snapshot(a_generation(reference), training)).name == "generation"  # type: ignore[union-attr]


def test_generation_with_a_saved_step_and_a_plain_model_waits_for_the_plain_one() -> None:
    generation = a_generation("m@200", "cat")
    cat, other = a_training("cat", modelId="cat"), a_training("m")

    assert awaited_training(generation, a_snapshot(generation, cat, other)) == cat


def test_generation_with_a_lora_file_waits_for_no_training() -> None:
    file = {"uri": "s3://darkroom/loras/default/m.safetensors"}
    generation = replace(a_job("generation", loras=(file,), priority=9), created=NOW)

    assert admit(a_snapshot(generation, a_training("training"))) == generation


def test_young_generation_with_loras_waits_for_a_training_of_the_same_file() -> None:
    """`kubectl apply` may create the training a moment later."""
    assert admit(a_snapshot(replace(a_generation("dog"), created=NOW))) is None


def test_training_waits_for_an_earlier_training_of_its_initial_lora() -> None:
    base = a_training("base", modelId="dog")
    more = continued("more", "dog", "dog-2", created=NOW)
    snapshot = a_snapshot(more, base)

    assert queued_jobs(snapshot) == [base, more]
    running = replace(snapshot, slots={0: a_slot(base), 1: a_slot(number=1)}, slot_count=2)
    assert admit(running) is None
    assert awaited_training(more, running) == base


def test_training_of_high_priority_waits_for_an_older_one_that_it_continues() -> None:
    """It would fail: there is no such model yet."""
    base = replace(a_training("base", modelId="dog"), created=EARLY)
    other = replace(a_training("other", modelId="other", priority=5), created=EARLY)
    more = continued("more", "dog", "dog-2", priority=9)
    images = replace(a_job("images", loras=({"modelId": "dog-2"},), priority=10), created=EARLY)
    snapshot = a_snapshot(images, more, other, base)

    assert admit(snapshot) == other
    assert queued_jobs(snapshot) == [other, base, more, images]


def test_training_does_not_wait_for_a_younger_one_of_higher_priority() -> None:
    """A model that exists is continued as it is."""
    more = continued("more", "dog", "dog-2", created=EARLY)
    base = a_training("base", modelId="dog", priority=9)

    assert awaited_training(more, a_snapshot(more, base)) is None


def test_training_that_continues_from_its_own_model_does_not_wait_for_itself() -> None:
    more = continued("more", "dog", "dog")

    assert admit(a_snapshot(more)) == more


@pytest.mark.parametrize("models", [("dog", "dog"), ("dog", "cat")])
def test_trainings_that_continue_from_each_other_run_in_the_order_of_the_queue(models: tuple[str, str]) -> None:
    one, two = models
    first = continued("first", two, one, created=EARLY)
    second = continued("second", one, two)

    assert queued_jobs(a_snapshot(second, first)) == [first, second]
    assert admit(a_snapshot(second, first)) == first
