"""Tracing is off unless the environment names a collector; spans are sent to a real receiver."""

import logging
import os
import secrets
import socket
import subprocess
import sys
import time

import pytest
from support.otlp_receiver import OtlpReceiver

from darkroom_contract.tracing.traceparent import valid_traceparent
from darkroom_contract.tracing.tracing import Tracing, is_wanted, open_tracing

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"

IMPORT_ALL = """
import sys
import darkroom_runner.lifecycle, darkroom_runner.worker
from darkroom_runner.run.optional_libraries import hide_opentelemetry
hide_opentelemetry()
import redis
assert "opentelemetry.sdk.metrics" not in sys.modules
import darkroom_gateway.main, darkroom_operator.main
assert "opentelemetry.exporter" not in sys.modules
"""


def traced(monkeypatch: pytest.MonkeyPatch, receiver: OtlpReceiver, **environment: str) -> Tracing:
    """Tracing that sends to the receiver."""
    for name, value in {**receiver.environment, **environment}.items():
        monkeypatch.setenv(name, value)
    return open_tracing("darkroom-test", os.environ)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({ENDPOINT: "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({ENDPOINT: "http://collector:4318", "OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_variables_of_opentelemetry_turn_traces_on_and_off(environment: dict[str, str], wanted: bool) -> None:
    assert is_wanted(environment) is wanted


def test_unsupported_protocol_sends_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tracing = open_tracing("x", {ENDPOINT: "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})

    assert tracing.tracer_provider is None
    assert "only http/protobuf is supported" in caplog.text


def test_without_a_collector_no_program_imports_the_exporter() -> None:
    subprocess.run([sys.executable, "-c", IMPORT_ALL], check=True, timeout=120)


def test_untraced_spans_do_nothing() -> None:
    tracing = Tracing()
    with tracing.span("a", {"b": 1}, PARENT):
        assert tracing.traceparent() is None
    tracing.record("a", 0, 1)
    tracing.close()


def test_spans_continue_a_trace_and_are_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    with OtlpReceiver() as receiver:
        tracing = traced(monkeypatch, receiver)
        with tracing.span("outer", {"darkroom.job.attempt": 2}, PARENT):
            passed_on = tracing.traceparent()
            with tracing.span("inner"):
                pass
        tracing.record("earlier", 100.0, 102.5, parent=PARENT)
        tracing.close()
        spans = receiver.trace(TRACE_ID)

    outer = spans["outer"]
    assert (outer.service, outer.parent_id, outer.attributes) == (
        "darkroom-test",
        "b7ad6b7169203331",
        {"darkroom.job.attempt": 2},
    )
    assert passed_on == f"00-{TRACE_ID}-{outer.span_id}-01"
    assert spans["inner"].parent_id == outer.span_id
    assert (spans["earlier"].parent_id, spans["earlier"].seconds) == (outer.parent_id, 2.5)
    assert tracing.traceparent() is None


def test_failed_span_has_the_type_of_the_error_but_not_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    with OtlpReceiver() as receiver:
        tracing = traced(monkeypatch, receiver)
        with pytest.raises(ValueError, match="a secret prompt"), tracing.span("work", parent=PARENT):
            raise ValueError("a secret prompt")
        tracing.close()
        span = receiver.trace(TRACE_ID)["work"]

    assert span.failed
    assert span.attributes == {"error.type": "ValueError"}


def test_unsampled_trace_is_passed_on_but_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    with OtlpReceiver() as receiver:
        tracing = traced(monkeypatch, receiver)
        with tracing.span("outer", parent=PARENT[:-2] + "00"):
            passed_on = tracing.traceparent()
        tracing.close()
        assert receiver.spans == []

    assert passed_on is not None
    assert passed_on.startswith(f"00-{TRACE_ID}-")
    assert passed_on.endswith("-00")


def test_service_name_of_the_environment_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with OtlpReceiver() as receiver:
        tracing = traced(monkeypatch, receiver, OTEL_SERVICE_NAME="studio")
        with tracing.span("work", parent=PARENT):
            pass
        tracing.close()
        assert receiver.trace(TRACE_ID)["work"].service == "studio"


def test_collector_that_does_not_answer_delays_the_end_only_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{silent.getsockname()[1]}")
        tracing = open_tracing("darkroom-test", os.environ)
        with tracing.span("work"):
            pass
        began = time.monotonic()
        tracing.close(0.2)

        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        7,
        PARENT.upper(),
        PARENT + "-00",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"ff-{TRACE_ID}-b7ad6b7169203331-01",
        f"00-{TRACE_ID}-b7ad6b7169203331-01\n",
    ],
)
def test_invalid_traceparent_is_ignored(given: object) -> None:
    assert valid_traceparent(given) is None


def test_valid_traceparent_is_kept() -> None:
    parent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    assert valid_traceparent(parent) == parent
