"""A job's life as it comes from the gateway: live by server-sent events, and by asking where those can't be had."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from dataclasses import dataclass

import httpx

from darkroom_local.demo.gateway import Gateway
from darkroom_local.errors import DemoFailedError, GatewayUnavailableError
from darkroom_local.kube.client import Json

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
QUIET_SECONDS = 60.0
"""A stream that says nothing for so long, not even that it lives, is broken. The gateway pings four times as often."""
FINAL_PHASES = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True)
class ServerEvent:
    """One server-sent event."""

    name: str
    data: Json
    id: str = ""


async def follow(gateway: Gateway, events_url: str, job_url: str) -> AsyncGenerator[ServerEvent, None]:
    """`status` and `progress` events until the job is over; the last one is a `status` with a final phase.

    Raises `DemoFailedError` when the job is not there any more.
    """
    last_id = ""
    while True:
        try:
            async for event in _stream(gateway, events_url, last_id):
                last_id = event.id or last_id
                yield event
        except (httpx.TransportError, ValueError) as error:
            log.info("the stream of %s broke: %r", events_url, error)
        try:
            job = await gateway.read(job_url)
        except (httpx.TransportError, GatewayUnavailableError) as error:
            log.info("%s can't be read: %r", job_url, error)
        else:
            yield ServerEvent("status", job)
            if job["phase"] in FINAL_PHASES:
                return
        await asyncio.sleep(POLL_SECONDS)


async def _stream(gateway: Gateway, url: str, last_id: str) -> AsyncIterator[ServerEvent]:
    """The events of one connection; none when the gateway serves none."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
    timeout = httpx.Timeout(10, read=QUIET_SECONDS)
    async with gateway.http.stream("GET", url, headers=headers, timeout=timeout) as response:
        if response.status_code == 404:
            raise DemoFailedError("the job was deleted while it was followed")
        if response.status_code == 200:
            async for event in parse(response.aiter_lines()):
                yield event


async def parse(lines: AsyncIterable[str]) -> AsyncIterator[ServerEvent]:
    """Events from the lines of a stream. Raises `ValueError` for data that is no JSON.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """
    fields: dict[str, list[str]] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        if "data" in fields:
            data = json.loads("\n".join(fields["data"]))
            yield ServerEvent(fields.get("event", ["message"])[-1], data, fields.get("id", [""])[-1])
        fields = {}
