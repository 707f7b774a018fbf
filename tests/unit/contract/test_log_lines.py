"""Text of strangers can't forge a line of a log, whichever way it gets there."""

import io
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator

import pytest

from darkroom_contract.log_lines import CONTINUATION, LineFormatter, escape_controls, set_up_log

FORGED = "2026-11-28 12:00:00,000 ERROR darkroom everything was deleted"

FORGERIES = [
    f"a dog\n{FORGED}",
    f"a dog\r\n{FORGED}",
    f"a dog\r{FORGED}",
    f"a dog\x0b{FORGED}",
    f"a dog\x85{FORGED}",
    f"a dog\u2028{FORGED}",
    f"a dog\u2029{FORGED}",
    f"a dog\x1b[2K\x1b[1G{FORGED}",
    f"a dog\x9b2K{FORGED}",
    f"a dog \u202e{FORGED}\u2066",
    f"a dog\x00\x08\x7f\ud800{FORGED}",
]


@pytest.fixture
def logged() -> Iterator[Callable[[Callable[[logging.Logger], None]], str]]:
    """What a logger writes."""
    logger, stream = logging.Logger("darkroom"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter("%(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)

    def write(act: Callable[[logging.Logger], None]) -> str:
        act(logger)
        return stream.getvalue()

    yield write
    logger.removeHandler(handler)


@pytest.mark.parametrize("text", FORGERIES)
def test_a_record_is_one_line_of_printable_text(text: str, logged: Callable[..., str]) -> None:
    written = logged(lambda logger: logger.info("prompt: %s", text))

    assert written.count("\n") == 1
    assert written.splitlines() == [written.removesuffix("\n")]
    assert written.removesuffix("\n").isprintable()
    assert written.startswith("INFO darkroom prompt: a dog")
    assert FORGED in written


@pytest.mark.parametrize("text", FORGERIES)
def test_an_exception_that_quotes_the_text_begins_no_line(text: str, logged: Callable[..., str]) -> None:
    def fail(logger: logging.Logger) -> None:
        try:
            raise ValueError(f"unknown: {text}")
        except ValueError:
            logger.exception("it failed: %s", text, stack_info=True)

    first, *rest = logged(fail).removesuffix("\n").splitlines()

    assert first.startswith("ERROR darkroom it failed: a dog")
    assert any("Traceback" in line for line in rest)
    assert any("ValueError: unknown: a dog" in line for line in rest)
    assert all(line.startswith(CONTINUATION) and line.isprintable() for line in rest)


def test_ordinary_text_of_every_language_is_unchanged() -> None:
    text = "ein Hund, 一只狗, كلب, 🐕, 👩‍🚀, می‌خواهم, C:\\new\\readme, naïve"

    assert escape_controls(text) == text


def test_characters_to_keep_are_not_escaped() -> None:
    assert escape_controls("a\tb\nc\x1b[0m", keep="\t\n") == "a\tb\nc\\x1b[0m"


def test_a_traceback_cached_by_another_formatter_is_formatted_again(logged: Callable[..., str]) -> None:
    def fail(logger: logging.Logger) -> None:
        try:
            raise ValueError("a\nb")
        except ValueError:
            record = logger.makeRecord("darkroom", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())
        logging.Formatter().format(record)
        logger.handle(record)

    assert all(line.startswith(CONTINUATION) for line in logged(fail).splitlines()[1:])


def test_a_trailing_line_break_of_a_message_is_left_out(logged: Callable[..., str]) -> None:
    assert logged(lambda logger: logger.error("Exception in ASGI application\n")) == (
        "ERROR darkroom Exception in ASGI application\n"
    )


def test_a_program_s_log_holds_libraries_and_warnings_too(capsys: pytest.CaptureFixture[str]) -> None:
    root, show = logging.getLogger(), warnings.showwarning
    before = root.handlers[:], root.level
    try:
        set_up_log("%(levelname)s %(message)s")
        logging.getLogger("some.library").warning("said\nthis")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("careful\nwith that", stacklevel=1)
            logging.captureWarnings(False)
    finally:
        logging.captureWarnings(False)
        root.handlers[:], _ = before
        root.setLevel(before[1])
        warnings.showwarning = show

    lines = capsys.readouterr().err.splitlines()

    assert lines[0] == "WARNING said\\nthis"
    assert re.match(r"WARNING .*careful\\nwith that", lines[1])
    assert len(lines) == 2
