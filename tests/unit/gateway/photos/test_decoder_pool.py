"""The decoder pool: photos are decoded in processes with limits of memory and time."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import SpooledTemporaryFile

import pytest
from support import processes
from support.decoder_pools import (
    SHORT,
    SMALL,
    StartDecoders,
    check,
    checked,
    decoder_processes,
    until,
    wait_until,
)
from support.photos import encode, scene

from darkroom_contract.photos.decoder import MAX_PHOTOS_EACH
from darkroom_contract.photos.errors import PhotoLimitError
from darkroom_gateway.errors import DecodersUnavailableError, InvalidPhotosError, NoUploadSpaceError
from darkroom_gateway.http.problems import MAX_FIELD_ERRORS, problem_of
from darkroom_gateway.photos.decoder_pool import FairQueue, UploadUsage
from darkroom_gateway.photos.upload_form import Upload
from darkroom_gateway.photos.upload_validator import MAX_STOPPED, UploadValidator


async def test_decoder_gets_no_secrets_and_no_signals_of_the_gateway(
    start: StartDecoders, small: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    monkeypatch.setenv("DARKROOM_REDIS_URL", "redis://:a-secret@redis")
    await check(start(1), small)

    [pid] = decoder_processes()
    assert not [name for name in processes.environment(pid) if name.startswith(("AWS", "DARKROOM"))]
    assert os.getsid(pid) == pid != os.getsid(0)


async def test_decoder_that_dies_costs_one_photo(
    start: StartDecoders, small: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    decoders = start(1)
    await check(decoders, small)
    [pid] = decoder_processes()
    os.kill(pid, signal.SIGSTOP)
    dying = asyncio.create_task(check(decoders, small, "odd.jpg"))
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGSEGV)
    os.kill(pid, signal.SIGCONT)

    with pytest.raises(PhotoLimitError, match=r"^odd\.jpg made its decoder fail \(signal 11\)\. Open it and save it"):
        await dying
    assert "odd.jpg" in caplog.text
    assert (await check(decoders, small)).extension == "jpg"


async def test_decoder_that_died_while_idle_costs_nothing(start: StartDecoders, small: bytes) -> None:
    decoders = start(1)
    await check(decoders, small)
    [pid] = decoder_processes()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not processes.is_alive(pid))

    assert (await check(decoders, small)).extension == "jpg"


async def test_decoder_is_replaced_after_some_photos(start: StartDecoders, small: bytes) -> None:
    decoders = start(1)
    await check(decoders, small)
    first = decoder_processes()
    for _ in range(MAX_PHOTOS_EACH):
        await check(decoders, small)

    assert len(decoder_processes()) == 1
    assert decoder_processes() != first


async def test_cancelled_check_kills_its_process(start: StartDecoders, small: bytes) -> None:
    decoders = start(1)
    await check(decoders, small)
    [pid] = decoder_processes()
    os.kill(pid, signal.SIGSTOP)
    waiting = asyncio.create_task(check(decoders, small))
    await asyncio.sleep(0)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert not processes.is_alive(pid)
    assert (await check(decoders, small)).extension == "jpg"


def test_decoder_can_not_be_started_without_free_descriptors() -> None:
    program = (
        "import resource\n"
        "from darkroom_contract.photos.decoder import DecoderUnavailableError, DecodingLimits, PhotoDecoder\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "try: PhotoDecoder(DecodingLimits(2**30, 60))\n"
        "except DecoderUnavailableError as error: print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "A decoder process can't be started: Too many open files.\n", ran.stderr


async def test_full_disk_during_the_check_of_a_small_photo_is_an_outage(
    start: StartDecoders, small: bytes, tmp_path: Path
) -> None:
    """It was in memory while the form was read, and is written to disk for the decoder."""
    with SpooledTemporaryFile(dir=tmp_path / "gone") as file:
        file.write(small)
        with pytest.raises(NoUploadSpaceError, match="can't be written to: No such file or directory"):
            await UploadValidator(start(1), uploads=1).check([Upload("a.jpg", len(small), file)])


def test_decoders_end_with_their_parent(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(encode(scene(), "JPEG"))
    program = (
        "import sys\n"
        "from darkroom_contract.photos.decoder import DecodingLimits, PhotoDecoder\n"
        "decoder = PhotoDecoder(DecodingLimits(2**30, 60))\n"
        "with open(sys.argv[1], 'rb') as file: decoder.check(file.fileno(), 'a.jpg')\n"
        "print(decoder.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(photo)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, signal.SIGSTOP)  # It can't notice that its socket closes.
        parent.kill()

    wait_until(lambda: not processes.is_alive(pid), "the decoder has ended")


async def test_closing_stops_running_decoders(start: StartDecoders, small: bytes) -> None:
    decoders = start(1)
    await check(decoders, small)
    [pid] = decoder_processes()
    os.kill(pid, signal.SIGSTOP)
    waiting = asyncio.create_task(check(decoders, small))
    await asyncio.sleep(0)

    await decoders.close()

    with pytest.raises(PhotoLimitError, match=r"signal 9"):
        await waiting
    assert decoder_processes() == []


async def test_failure_to_start_a_process_is_not_the_photos_fault(
    start: StartDecoders, small: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")

    for count in (1, 4):
        with pytest.raises(DecodersUnavailableError, match="can't be started"):
            await checked(UploadValidator(start(count), 1), small, small, small)


async def test_one_upload_leaves_a_decoder_to_others(start: StartDecoders, small: bytes) -> None:
    decoders = start(2)
    validator = UploadValidator(decoders, 2)
    await checked(validator, small)
    [pid] = decoder_processes()
    os.kill(pid, signal.SIGSTOP)
    slow = asyncio.create_task(checked(validator, small, small, small))
    await asyncio.sleep(0.1)

    async with asyncio.timeout(30):
        assert len(await checked(validator, small, small)) == 2
    assert not slow.done()
    os.kill(pid, signal.SIGCONT)
    assert len(await slow) == 3


async def test_next_slot_goes_to_the_upload_with_the_least_used_time() -> None:
    turns, order = FairQueue(1), list[str]()
    greedy, modest, newcomer = UploadUsage(seconds=60), UploadUsage(seconds=2), UploadUsage()

    async def take(name: str, account: UploadUsage) -> None:
        async with turns.turn(account):
            order.append(name)

    async with turns.turn(UploadUsage()):
        waiting = [
            asyncio.create_task(take(name, account))
            for name, account in (("greedy", greedy), ("modest", modest), ("newcomer", newcomer))
        ]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)

    assert order == ["newcomer", "modest", "greedy"]


async def test_slot_of_a_cancelled_waiter_is_passed_on() -> None:
    turns = FairQueue(1)

    async def take() -> None:
        async with turns.turn(UploadUsage()):
            pass

    async with turns.turn(UploadUsage()):
        gone, granted, last = (asyncio.create_task(take()) for _ in range(3))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
    granted.cancel()  # It has got the turn, and never begins.
    async with asyncio.timeout(60):
        await last
        await take()


async def test_other_photos_are_still_validated(start: StartDecoders, of_18_megapixels: bytes, small: bytes) -> None:
    validator = UploadValidator(start(2, SMALL), 1)

    with pytest.raises(InvalidPhotosError) as refusal:
        await checked(validator, of_18_megapixels, small, b"text", of_18_megapixels)

    assert [each.parameter for each in refusal.value.field_errors] == ["0.jpg", "2.jpg", "3.jpg"]
    assert "64 MiB" in refusal.value.field_errors[0].message


async def test_validation_stops_after_several_photos_beyond_the_limits(
    start: StartDecoders, of_18_megapixels: bytes
) -> None:
    validator = UploadValidator(start(1, SHORT), 1)

    with pytest.raises(InvalidPhotosError) as refusal:
        await checked(validator, *[of_18_megapixels] * (MAX_STOPPED + 2))

    assert len(refusal.value.field_errors) == MAX_STOPPED
    assert f" 2 photos were not decoded, since decoding was stopped for {MAX_STOPPED} others." in str(refusal.value)


async def test_photos_that_are_not_decoded_are_announced_with_many_faults_and_not_counted_as_such(
    start: StartDecoders, of_18_megapixels: bytes, small: bytes
) -> None:
    validator = UploadValidator(start(1, SMALL), 1)

    with pytest.raises(InvalidPhotosError) as refusal:
        await checked(validator, *[b"text"] * 17, *[of_18_megapixels] * MAX_STOPPED, *[small] * 60)

    problem = problem_of(refusal.value)
    assert len(problem.errors) == MAX_FIELD_ERRORS
    assert problem.detail.endswith(
        f" 60 photos were not decoded, since decoding was stopped for {MAX_STOPPED} others."
        f" There are 22 faults in all; the first {MAX_FIELD_ERRORS} are listed."
    )


async def test_photos_keep_their_order(start: StartDecoders, small: bytes) -> None:
    contents = [small, encode(scene(), "PNG"), encode(scene(), "WEBP"), small]

    photos = await checked(UploadValidator(start(4), 1), *contents)

    assert [each.extension for each in photos] == ["jpg", "png", "webp", "jpg"]
