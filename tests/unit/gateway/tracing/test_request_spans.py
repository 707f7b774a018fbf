"""Requests have spans in the trace of their client, without what users wrote; probes have none."""

import os
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from support.otlp_receiver import OtlpReceiver

from darkroom_contract.tracing.tracing import open_tracing
from darkroom_gateway.app import create_app
from darkroom_gateway.settings import Settings

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}


def test_request_continues_the_trace_of_its_client(
    kubeconfig_of_nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OtlpReceiver() as receiver:
        for name, value in receiver.environment.items():
            monkeypatch.setenv(name, value)
        tracing = open_tracing("darkroom-gateway", os.environ)
        app = create_app(Settings(kubeconfig=str(kubeconfig_of_nowhere)), tracing)
        client = TestClient(app, base_url="http://127.0.0.1")
        answers = [
            client.post("/generate/sdxl?prompt=a+secret+dog&steps=0", headers=PARENT),
            client.get("/healthz", headers=PARENT),
        ]
        tracing.close()

    assert [each.status_code for each in answers] == [422, 200]
    [span] = receiver.spans
    assert (span.name, span.trace_id, span.parent_id) == ("POST /generate/sdxl", TRACE_ID, "b7ad6b7169203331")
    assert span.attributes["http.response.status_code"] == 422
    assert "secret" not in str(span)


def test_untraced_gateway_adds_no_telemetry(kubeconfig_of_nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even FastAPI's own, which an environment variable would turn on."""
    with OtlpReceiver() as receiver:
        for name, value in {**receiver.environment, "FASTAPI_OTEL_AUTO_CONFIGURE": "true"}.items():
            monkeypatch.setenv(name, value)
        app = create_app(Settings(kubeconfig=str(kubeconfig_of_nowhere)))
        with TestClient(app, base_url="http://127.0.0.1") as client:
            assert client.get("/nowhere", headers=PARENT).status_code == 404

    assert receiver.spans == []
