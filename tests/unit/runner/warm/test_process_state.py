"""What a run changes in its process outside of the models is put back, or ends the process."""

import gc
import os
import random
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
import torch

from darkroom_runner.run.process_state import ProcessState, temporary_files_in


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ProcessState]:
    """After the first run, which has imported the libraries."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SET_BEFORE", "value")
    before = torch.get_rng_state()
    state = ProcessState()
    assert state.restore() is None
    yield state
    torch.set_rng_state(before)


def test_environment_and_directory_are_restored(state: ProcessState, tmp_path: Path) -> None:
    os.environ["SET_BEFORE"] = "changed"
    os.environ["ADDED"] = "by the run"
    os.chdir("/")

    assert state.restore() is None

    assert os.environ["SET_BEFORE"] == "value"
    assert "ADDED" not in os.environ
    assert Path.cwd() == tmp_path


def test_variables_that_the_first_run_added_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SET_BEFORE", "value")
    monkeypatch.delenv("ADDED", raising=False)
    state = ProcessState()
    monkeypatch.setenv("ADDED", "by a library")
    monkeypatch.setenv("SET_BEFORE", "changed")

    state.restore()
    assert (os.environ["ADDED"], os.environ["SET_BEFORE"]) == ("by a library", "value")

    monkeypatch.setenv("ADDED", "changed")
    state.restore()
    assert os.environ["ADDED"] == "by a library"


def test_signal_handlers_and_the_collector_are_restored(state: ProcessState) -> None:
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    gc.disable()

    assert state.restore() is None

    assert signal.getsignal(signal.SIGTERM) is before
    assert gc.isenabled()


def drawn() -> list[float]:
    return [random.random(), float(numpy.random.rand()), torch.rand(1).item()]


def test_seed_of_a_run_does_not_reach_the_next(state: ProcessState) -> None:
    found = []
    for _ in range(2):
        for generator in (random, numpy.random):
            generator.seed(5)
        torch.manual_seed(5)
        drawn()
        state.restore()
        found.append(drawn())

    assert len({number for numbers in found for number in numbers}) == 6


def test_changed_setting_of_torch_ends_the_process(state: ProcessState) -> None:
    with torch.inference_mode():
        assert state.restore() == "the run changed torch's settings: gradients, inference mode"
    torch.set_default_dtype(torch.float64)
    try:
        fault = state.restore()
    finally:
        torch.set_default_dtype(torch.float32)

    assert fault is not None
    assert "default dtype" in fault


def test_thread_that_is_left_ends_the_process(state: ProcessState) -> None:
    ends = threading.Event()
    thread = threading.Thread(target=ends.wait, name="a library's")
    thread.start()
    fault = state.restore()
    ends.set()
    thread.join()

    assert fault == "the run left threads: a library's"
    assert state.restore() is None


def test_temporary_files_of_a_run_are_in_its_folder(tmp_path: Path) -> None:
    before = tempfile.gettempdir()
    with temporary_files_in(tmp_path), tempfile.NamedTemporaryFile() as file:
        assert Path(file.name).parent == tmp_path

    with pytest.raises(OSError, match="broken"), temporary_files_in(tmp_path):
        raise OSError("broken")
    assert tempfile.gettempdir() == before
