"""Which stages a run reports before its work begins."""

from collections.abc import Callable

import pytest

from darkroom_contract.progress import ProgressEvent, Stage
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.lifecycle import execute
from darkroom_runner.run.context import RunContext, RunResult


class Recorder:
    def __init__(self) -> None:
        self.stages: list[Stage] = []

    def send(self, event: ProgressEvent) -> None:
        self.stages.append(event.stage)

    def close(self) -> None:
        """Nothing to close."""


class NoWork:
    """A task that does nothing."""

    libraries = ()

    def download(self) -> None:
        return

    def load(self, _: None) -> None:
        return

    def execute(self, _: None, __: None) -> RunResult:
        return RunResult([], {}, ())


@pytest.mark.parametrize(
    ("fields", "stages"),
    [({}, [Stage.LOADING_MODEL]), ({"modelId": "my-dog"}, [Stage.DOWNLOADING, Stage.LOADING_MODEL])],
)
def test_fetching_is_reported_only_by_a_run_with_input_files(
    open_context: Callable[..., RunContext], fields: dict[str, str], stages: list[Stage]
) -> None:
    recorder = Recorder()
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", **fields})

    execute(NoWork(), open_context(spec, sender=recorder))  # type: ignore[arg-type]

    assert recorder.stages == stages
