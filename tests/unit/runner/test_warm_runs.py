"""What tests rely on when they fork runs from a warm parent: a fork is as good as a new process, and dies like one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.processes import children, is_alive
from support.warm_parent.forks import fork_of
from support.warm_parent.installation import WarmParent

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec

COLD = str(Path(sys.executable).with_name("darkroom-runner"))
STATE = """
import gc, json, locale, logging, os, random, resource, signal, sys, tempfile, threading, time, warnings
from darkroom_runner.run.library_logging import configure_library_logging
configure_library_logging()
import numpy, torch, diffusers, transformers

print(json.dumps({
    "arguments": sys.argv[1:],
    "collector": [gc.isenabled(), gc.get_threshold(), gc.get_debug()],
    "directory": os.getcwd(),
    "environment": dict(sorted(os.environ.items())),
    "flags": str(sys.flags),
    "limits": [resource.getrlimit(number) for number in range(16)],
    "locale": [locale.getlocale(), sys.getfilesystemencoding(), sys.stdout.encoding, sys.stderr.errors],
    "logging": [logging.getLogger().level, len(logging.getLogger().handlers)],
    "module": [__name__, __package__, __spec__.name],
    "path": sys.path[0],
    "prefix": sys.prefix,
    "priority": os.getpriority(os.PRIO_PROCESS, 0),
    "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
    "blocked signals": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "temporary folder": tempfile.gettempdir(),
    "threads": [threading.active_count(), torch.get_num_threads(), torch.get_num_interop_threads()],
    "tensors": [str(torch.get_default_dtype()), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()],
    "umask": os.umask(0o22),
    "verbosity": [diffusers.logging.get_verbosity(), transformers.logging.get_verbosity()],
    "drawn": [random.random(), numpy.random.rand(), torch.rand(1).item()],
}))
"""


@pytest.fixture
def state_of(tmp_path: Path, run_environment: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """What a process started by an interpreter says of itself."""
    (tmp_path / "state.py").write_text(STATE)
    environment = run_environment | {"TMPDIR": str(tmp_path), "SOMETHING": "else"}

    def ask(python: Path) -> dict[str, Any]:
        done = subprocess.run(
            [str(python), "-m", "state", "a", "b c"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            umask=0o27,
        )
        assert done.stderr == ""
        state: dict[str, Any] = json.loads(done.stdout)
        return state

    return ask


def test_fork_has_the_process_state_of_a_new_interpreter(
    warm_runner: WarmParent, state_of: Callable[..., dict[str, Any]]
) -> None:
    fork, new = state_of(warm_runner.forking_python), state_of(warm_runner.python)

    drawn = [fork.pop("drawn"), new.pop("drawn"), state_of(warm_runner.forking_python).pop("drawn")]
    assert fork == new
    # Nothing that a new process draws by chance is repeated from fork to fork.
    assert len({number for numbers in drawn for number in numbers}) == 9


def test_forked_runs_make_the_same_files_as_new_processes(
    start_run: Callable[..., Any], put_dataset: Callable[..., str]
) -> None:
    dataset = put_dataset()
    files = {program: files_of(start_run, dataset, program) for program in (None, COLD)}

    assert len(files[None]) == 4
    assert files[None] == files[COLD]


def test_a_run_and_its_work_are_forks(start_run: Callable[..., Any], until: Callable[..., Any]) -> None:
    spec = {"prompt": "a dog", "images": {"steps": 200, "count": 4}}
    client = start_run(GenerateJobSpec.from_dict(spec)).process.pid

    run = until(lambda: fork_of(client), "the run")
    [work] = until(lambda: children(run), "its work")

    assert until(lambda: fork_of(work), "the fork of its work") not in (run, work)


def files_of(start_run: Callable[..., Any], dataset: str, program: str | None) -> list[tuple[str, str]]:
    """Names and SHA-256 of what a training and a generation with its LoRA make.

    No clip: what x264 writes differs from process to process on a busy machine.
    """
    training = TrainJobSpec.from_dict(
        {
            "modelId": "my-dog",
            "prompt": "a photo of sks dog",
            "dataset": {"uri": dataset},
            "maxSteps": 2,
            "training": {"rank": 4, "learningRate": 1e-2, "seed": 3},
        }
    )
    pictures = {"steps": 2, "seed": 7, "count": 2}
    generation = GenerateJobSpec.from_dict({"prompt": "a photo of sks dog", "modelId": "my-dog", "images": pictures})
    found = []
    for spec in (training, generation):
        run = start_run(spec, program=program).finish(280)
        assert run.outcome.succeeded, run.log
        found += [(file.name, file.sha256) for file in run.outcome.files]
    return found


@pytest.fixture
def sleeping_fork(warm_runner: WarmParent, run_environment: dict[str, str], tmp_path: Path) -> Any:
    """A process that sleeps, and the process id of its fork."""
    (tmp_path / "sleeping.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n")
    command = [str(warm_runner.forking_python), "-m", "sleeping"]
    with subprocess.Popen(command, cwd=tmp_path, env=run_environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()


def test_fork_dies_with_the_process_that_represents_it(sleeping_fork: Any, until: Callable[..., None]) -> None:
    process, fork = sleeping_fork
    assert fork != process.pid
    assert fork not in children(process.pid)

    process.kill()

    assert process.wait(10) == -signal.SIGKILL
    until(lambda: not is_alive(fork), "the fork is gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signals_reach_the_fork_and_the_process_ends_as_it_does(sleeping_fork: Any, number: signal.Signals) -> None:
    process, fork = sleeping_fork

    process.send_signal(number)

    assert process.wait(30) == -number
    assert not is_alive(fork)


def test_killed_fork_ends_the_process_with_the_same_signal(sleeping_fork: Any) -> None:
    process, fork = sleeping_fork

    os.kill(fork, signal.SIGKILL)

    assert process.wait(30) == -signal.SIGKILL


def test_another_environment_of_the_libraries_gets_a_new_interpreter(
    warm_runner: WarmParent, run_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "asked.py").write_text("import os, sys\nprint(os.getpid(), 'torch' in sys.modules)\n")
    command = [str(warm_runner.forking_python), "-m", "asked"]

    with subprocess.Popen(
        command, cwd=tmp_path, env=run_environment | {"OMP_NUM_THREADS": "2"}, stdout=subprocess.PIPE, text=True
    ) as process:
        said = process.communicate(timeout=60)[0]

    assert said.split() == [str(process.pid), "False"]
