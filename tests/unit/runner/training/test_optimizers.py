"""Optimizers: what each does to a small problem, its state in checkpoints, and exact resumption."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from darkroom_contract.specs.training import Training
from darkroom_runner.training.optimizers import build_optimizers, learning_rate, read_state
from darkroom_runner.training.state import TrainingState, UnusableStateError

OPTIMIZERS = ("AdamW", "AdamW8bit", "Adafactor", "Prodigy")
STEPS = 12
A, B, TEXT = "unet.to_q.lora_A.weight", "unet.to_q.lora_B.weight", "text_encoder.q_proj.lora_A.weight"
UNUSED = "text_encoder.last.lora_A.weight"


def training(**settings: Any) -> Training:
    return Training.from_dict(settings)


def parameters() -> dict[str, torch.nn.Parameter]:
    """An adapter as it starts, large enough for 8 bits; one of a text encoder; and one without gradients."""
    rng = torch.Generator().manual_seed(1)
    values = {A: torch.randn(16, 320, generator=rng), B: torch.zeros(320, 16), TEXT: torch.randn(4, 8, generator=rng)}
    return {name: torch.nn.Parameter(value) for name, value in (*values.items(), (UNUSED, torch.ones(4, 8)))}


def advance(state: TrainingState, until: int) -> list[float]:
    """Steps towards a target, with noise that depends on the step alone; returns the learning rates."""
    rates, schedules = [], state.learning_rates(STEPS)
    while state.step < until:
        rng = torch.Generator().manual_seed(state.step)
        for name, parameter in state.parameters.items():
            if name != UNUSED:
                parameter.grad = parameter.detach() - 1 + 0.1 * torch.randn(parameter.shape, generator=rng)
        rates.append(learning_rate(state.optimizers[0]))
        state.take_step()
        state.losses.append(1.0)
        for schedule in schedules:
            schedule.step()
    return rates


def state_bytes(optimizer: str) -> int:
    values = parameters()
    values = {name: values[name] for name in (A, B)}
    state = TrainingState.fresh(values, training(optimizer=optimizer))
    advance(state, 1)
    tensors = read_state(state.optimizers, values).tensors
    return sum(tensor.nbytes for key, tensor in tensors.items() if not key.startswith("qmap"))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_training_takes_exactly_the_same_steps(optimizer: str, tmp_path: Path) -> None:
    settings = training(
        optimizer=optimizer, trainTextEncoders=True, textEncoderLearningRate=1e-3, warmupSteps=3, emaDecay=0.9
    )
    whole, first, second = (TrainingState.fresh(parameters(), settings) for _ in range(3))
    advance(whole, STEPS)
    advance(first, 5)
    first.write(tmp_path / "state.safetensors")

    second.read(tmp_path / "state.safetensors", STEPS)
    advance(second, STEPS)

    assert second.step == STEPS
    for name, parameter in whole.parameters.items():
        assert torch.equal(second.parameters[name], parameter), name
    with whole.averaged(), second.averaged():
        for name, parameter in whole.parameters.items():
            assert torch.equal(second.parameters[name], parameter), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_moves_towards_the_target(optimizer: str) -> None:
    state = TrainingState.fresh(parameters(), training(optimizer=optimizer))

    advance(state, STEPS)

    assert state.parameters[B].mean() > 0
    assert torch.equal(state.parameters[UNUSED], torch.ones(4, 8))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_text_encoders_with_a_learning_rate_of_0_stay_as_they_are(optimizer: str) -> None:
    settings = training(optimizer=optimizer, trainTextEncoders=True, textEncoderLearningRate=0.0)
    state = TrainingState.fresh(parameters(), settings)

    advance(state, STEPS)

    assert torch.equal(state.parameters[TEXT], parameters()[TEXT])
    assert not torch.equal(state.parameters[A], parameters()[A])


def test_text_encoders_move_further_with_a_higher_learning_rate() -> None:
    moved = []
    for rate in (1e-5, 1e-3):
        settings = training(trainTextEncoders=True, textEncoderLearningRate=rate)
        state = TrainingState.fresh(parameters(), settings)
        advance(state, STEPS)
        moved.append((state.parameters[TEXT] - parameters()[TEXT]).norm().item())

    assert moved[1] > 10 * moved[0]


def test_adamw_in_8_bits_keeps_a_quarter_and_adafactor_nearly_nothing() -> None:
    full = state_bytes("AdamW")

    assert state_bytes("AdamW8bit") < 0.3 * full
    assert state_bytes("Adafactor") < 0.1 * full


def test_prodigy_raises_its_learning_rate_by_itself() -> None:
    rates = advance(TrainingState.fresh(parameters(), training(optimizer="Prodigy")), STEPS)

    assert rates == sorted(rates)
    assert rates[-1] > 10 * rates[0]


def test_the_job_s_learning_rate_scales_prodigy_s() -> None:
    ratios = [
        learning_rate(build_optimizers(parameters(), training(optimizer="Prodigy", **given))[0])
        for given in ({}, {"learningRate": 0.5})
    ]

    assert ratios[1] == pytest.approx(0.5 * ratios[0])


def test_the_average_of_an_oscillating_parameter_is_smoother() -> None:
    state = TrainingState.fresh(parameters(), training(learningRate=1e-8, emaDecay=0.9))
    seen = []
    for step in range(1, 61):
        state.parameters[A].data.fill_((-1.0) ** step)
        advance(state, step)
        with state.averaged():
            seen.append(state.parameters[A].mean().item())

    assert all(abs(each) < 0.15 for each in seen[-10:])
    assert state.parameters[A].mean().item() == pytest.approx(1.0)


def test_without_a_decay_the_parameters_themselves_are_published() -> None:
    state = TrainingState.fresh(parameters(), training())
    advance(state, 3)
    before = state.parameters[A].detach().clone()

    with state.averaged():
        assert torch.equal(state.parameters[A], before)


@pytest.mark.parametrize(
    ("saved", "resumed"),
    [
        ({"optimizer": "Prodigy"}, {"optimizer": "AdamW"}),
        ({"optimizer": "AdamW8bit"}, {"optimizer": "Adafactor"}),
        ({"emaDecay": 0.9}, {}),
        ({}, {"emaDecay": 0.9}),
    ],
)
def test_a_state_of_other_settings_is_refused(saved: dict[str, Any], resumed: dict[str, Any], tmp_path: Path) -> None:
    first = TrainingState.fresh(parameters(), training(**saved))
    advance(first, 3)
    first.write(tmp_path / "state.safetensors")
    second = TrainingState.fresh(parameters(), training(**resumed))

    with pytest.raises(UnusableStateError):
        second.read(tmp_path / "state.safetensors", STEPS)

    assert torch.equal(second.parameters[A], parameters()[A])


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda tensors: tensors.pop(f"exp_avg_sq.{A}"), id="a missing moment"),
        pytest.param(lambda tensors: tensors.update({f"exp_avg.{A}": torch.zeros(2, 2)}), id="another shape"),
        pytest.param(lambda tensors: tensors.update({"exp_avg.other": torch.zeros(2)}), id="an unknown parameter"),
    ],
)
def test_a_damaged_optimizer_state_is_refused(
    damage: Callable[[dict[str, torch.Tensor]], object], tmp_path: Path
) -> None:
    first = TrainingState.fresh(parameters(), training())
    advance(first, 3)
    path = tmp_path / "state.safetensors"
    first.write(path)
    tensors = safetensors.torch.load_file(path)
    damage(tensors)
    safetensors.torch.save_file(tensors, path)

    with pytest.raises(UnusableStateError, match="optimizer"):
        TrainingState.fresh(parameters(), training()).read(path, STEPS)


def test_a_checkpoint_of_the_first_release_resumes_with_adamw(tmp_path: Path) -> None:
    """It has the same tensors, and no metadata."""
    whole, first = (TrainingState.fresh(parameters(), training()) for _ in range(2))
    advance(whole, STEPS)
    advance(first, 5)
    first.write(tmp_path / "new.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "new.safetensors")
    assert {key.partition(".")[0] for key in tensors} == {"losses", "weight", "step", "exp_avg", "exp_avg_sq"}
    safetensors.torch.save_file(tensors, tmp_path / "old.safetensors")

    resumed = TrainingState.fresh(parameters(), training())
    resumed.read(tmp_path / "old.safetensors", STEPS)
    advance(resumed, STEPS)

    assert all(torch.equal(resumed.parameters[name], each) for name, each in whole.parameters.items())
