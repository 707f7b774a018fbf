"""Messages for models and saved steps that do not exist, or not yet. Pure; used by models/catalog.py and details.py."""

from collections.abc import Sequence

from darkroom_contract.specs.train_job import TrainJobSpec

MAX_NAMED = 20
"""Maximum number of models, or of saved steps, that an error message lists."""

SAVE_STEPS = "training.saveSteps (save_steps in a URL)"
"""What makes a training save steps, in both forms of the API. The command line has words of its own for it."""


def unknown_model(model_id: str, known: Sequence[str]) -> str:
    names = f"Known models: {', '.join(known)}." if known else "There are no models yet."
    return f"There is no model {model_id!r}. Train or import it, or use another one. {names}"


def no_model(model_id: str) -> str:
    return f"There is no model {model_id!r}. It was never trained or imported, or it was deleted."


def without_record(model_id: str, *, in_training: bool) -> str:
    """For a model without a record and without saved steps."""
    if in_training:
        return (
            f"The model {model_id!r} is being trained for the first time, and no step of it is saved yet. Wait until "
            "its training has ended."
        )
    return no_model(model_id)


def unknown_step(model_id: str, step: str, saved: Sequence[str], trainings: Sequence[TrainJobSpec]) -> str:
    """`trainings` are the unfinished ones of the model, `saved` its saved steps."""
    listed = ", ".join(f"{model_id}@{each}" for each in saved[-MAX_NAMED:])
    if trainings:
        later = " yet" if any(_will_save(each, step) for each in trainings) else ""
        intervals = " ".join(dict.fromkeys(_interval(each, model_id) for each in trainings))
        now = f"Saved now: {listed}." if listed else "No step is saved so far."
        return f"The model {model_id!r} has no saved step {step!r}{later}. {intervals} {now}"
    if not listed:
        return f"The model {model_id!r} has no saved steps. Use {model_id}, or train it with {SAVE_STEPS}."
    return f"The model {model_id!r} has no saved step {step!r}. Use one of: {listed}."


def undeletable_step(model_id: str, step: str, saved: Sequence[str]) -> str:
    """For a deletion: does not propose other names, since a careless reader would delete those."""
    listed = ", ".join(f"{model_id}@{each}" for each in saved[-MAX_NAMED:])
    has = f"Its saved steps are {listed}." if listed else "It has no saved steps."
    return f"There is no saved step {step!r} of the model {model_id!r}, so nothing was deleted. {has}"


def _will_save(spec: TrainJobSpec, step: str) -> bool:
    if step == "best":
        return spec.training.held_out_photos > 0
    interval = spec.training.save_steps
    return interval > 0 and int(step) % interval == 0 and int(step) <= spec.max_steps


def _interval(spec: TrainJobSpec, model_id: str) -> str:
    interval, last = spec.training.save_steps, spec.max_steps
    best = f", and the best one as {model_id}@best" if spec.training.held_out_photos else ""
    if 0 < interval <= last:
        return f"Its training saves every {interval} steps of {last}{best}."
    if best:
        return f"Its training saves the step with the lowest held-out loss, as {model_id}@best."
    return f"Its training saves no steps: use {model_id}, which waits for the end of the training."
