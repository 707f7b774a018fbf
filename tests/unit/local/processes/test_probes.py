"""What a probe of a child process costs."""

import asyncio
import ssl

import httpx
import pytest

from darkroom_local.processes.probes import HttpProbe


def test_probe_loads_no_ca_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes much longer than the probe, which is repeated every 50 ms while a program starts."""
    loaded: list[dict[str, object]] = []
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda _, **files: loaded.append(files))
    # As outside of tests, which share one context.
    monkeypatch.setattr("httpx._transports.default.create_ssl_context", httpx.create_ssl_context)

    assert not asyncio.run(HttpProbe("http://127.0.0.1:1/healthz")())

    assert loaded == []
