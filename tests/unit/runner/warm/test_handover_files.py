"""Reading the files of the downward API volume, without a process."""

from pathlib import Path

import pytest
from support.handover_volume import HandoverVolume
from support.runner_processes import SDXL_NAME, write_document

from darkroom_contract.handover import ACKNOWLEDGED_FILE, RUN_FILE
from darkroom_contract.runs import RunDocument
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.run import handover
from darkroom_runner.run.handover import Handover, RefusedRunError
from darkroom_runner.run.stop_signal import StopSignal

SPEC = GenerateJobSpec.from_dict({"prompt": "a dog"})


def document(uid: str, attempt: int = 1) -> str:
    return write_document(SPEC, uid, SDXL_NAME, attempt)


@pytest.fixture
def volume(tmp_path: Path) -> HandoverVolume:
    return HandoverVolume(tmp_path / "handover")


@pytest.fixture
def stop_signal() -> StopSignal:
    return StopSignal()


@pytest.fixture
def files(volume: HandoverVolume, stop_signal: StopSignal) -> Handover:
    return Handover(volume.folder, RunDocument.from_json(document("first")), stop_signal)


def test_each_run_is_returned_once(files: Handover, volume: HandoverVolume) -> None:
    found = []
    for text in (document("first"), document("second"), document("second"), document("second", 2), document("first")):
        volume.write(RUN_FILE, text)
        found.append(files.wait_for_run(0))

    assert [each and (each[0].uid, each[0].attempt) for each in found] == [
        None,
        ("second", 1),
        None,
        ("second", 2),
        None,
    ]
    assert found[1] is not None
    assert found[1][1] == document("second")


@pytest.mark.parametrize("text", ["", "\n"])
def test_empty_file_is_no_run(files: Handover, volume: HandoverVolume, text: str) -> None:
    volume.write(RUN_FILE, text)

    assert files.wait_for_run(0) is None


def test_missing_volume_is_no_run(tmp_path: Path, stop_signal: StopSignal) -> None:
    files = Handover(tmp_path / "nothing", RunDocument.from_json(document("first")), stop_signal)

    assert files.wait_for_run(0) is None


@pytest.mark.parametrize("text", ["no JSON", "{}", document("second").replace('"default"', '"other"')])
def test_invalid_or_foreign_document_is_refused(files: Handover, volume: HandoverVolume, text: str) -> None:
    volume.write(RUN_FILE, text)

    with pytest.raises(RefusedRunError):
        files.wait_for_run(0)


def test_stop_ends_every_wait(files: Handover, volume: HandoverVolume, stop_signal: StopSignal) -> None:
    volume.write(RUN_FILE, document("second"))
    stop_signal.requested = True
    published = list[int]()

    assert files.wait_for_run(600) is None
    assert files.wait_for_acknowledgement("first/1", lambda: published.append(1)) is False
    assert published == []


def test_outcome_is_published_until_it_is_acknowledged(
    files: Handover, volume: HandoverVolume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "PUBLISH_SECONDS", 0.0)
    volume.write(ACKNOWLEDGED_FILE, "earlier/1")
    published = list[int]()

    def publish() -> None:
        published.append(1)
        if len(published) == 3:
            volume.write(ACKNOWLEDGED_FILE, "first/1")

    assert files.wait_for_acknowledgement("first/1", publish)
    assert len(published) == 3


def test_wait_for_the_acknowledgement_ends(files: Handover, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "ACKNOWLEDGE_SECONDS", 0.0)

    assert not files.wait_for_acknowledgement("first/1", lambda: None)
