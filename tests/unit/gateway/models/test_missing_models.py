"""Messages for saved steps of a model that is being trained."""

from typing import Any

import pytest

from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_gateway.models.missing_models import undeletable_step, unknown_step


def spec(**training: Any) -> TrainJobSpec:
    dataset = {"uri": "s3://darkroom/datasets/default/x/"}
    given = {"prompt": "a", "model_id": "dog", "dataset": dataset, "max_steps": 100, "training": training}
    return TrainJobSpec.model_validate(given)


@pytest.mark.parametrize(
    ("training", "step", "yet", "words"),
    [
        ({"save_steps": 50}, "50", True, "saves every 50 steps of 100."),
        ({"save_steps": 50}, "75", False, "saves every 50 steps of 100."),
        ({"save_steps": 50}, "150", False, "saves every 50 steps of 100."),
        ({"save_steps": 50, "held_out_photos": 1}, "best", True, "and the best one as dog@best."),
        ({"save_steps": 50}, "best", False, "saves every 50 steps of 100."),
        ({"held_out_photos": 1}, "50", False, "the lowest held-out loss, as dog@best."),
        ({"save_steps": 200}, "200", False, "saves no steps"),
        ({}, "50", False, "use dog, which waits for the end of the training"),
    ],
)
def test_message_says_which_steps_the_training_saves(training: Any, step: str, yet: bool, words: str) -> None:
    message = unknown_step("dog", step, [], [spec(**training)])

    assert words in message
    assert (f"{step!r} yet." in message) == yet


def test_message_lists_the_steps_of_an_earlier_training() -> None:
    assert unknown_step("dog", "7", ["10", "best"], [spec()]).endswith("Saved now: dog@10, dog@best.")
    assert unknown_step("dog", "7", ["10", "best"], []).endswith("Use one of: dog@10, dog@best.")


def test_model_without_saved_steps_names_the_setting_of_both_forms_of_the_api() -> None:
    message = unknown_step("dog", "7", [], [])

    assert message.endswith("Use dog, or train it with training.saveSteps (save_steps in a URL).")


@pytest.mark.parametrize(
    ("saved", "has"), [([], "It has no saved steps."), (["5", "best"], "Its saved steps are dog@5, dog@best.")]
)
def test_refused_deletion_of_a_step_proposes_no_other_name_to_delete(saved: list[str], has: str) -> None:
    message = undeletable_step("dog", "7", saved)

    assert message == f"There is no saved step '7' of the model 'dog', so nothing was deleted. {has}"
