"""The two servers of gateway_watchers.py: a gateway with one running job, and the plain fan-out."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import redis
from gateway_plain_events import STREAM
from gateway_stack import open_gateway, open_plain, open_stack
from stream_watchers import Watchers

from darkroom_contract.names import GROUP, VERSION, Kind
from darkroom_contract.progress import stream_name

JOB = "watched"


@dataclass
class Server:
    """A server and its measurements."""

    name: str
    port: int
    path: str
    stream: str
    pid: int
    watchers: list[Watchers] = field(default_factory=list)
    delay_p50s: list[float] = field(default_factory=list)
    delay_p99s: list[float] = field(default_factory=list)
    health_p99s: list[float] = field(default_factory=list)
    cpu_seconds_an_event: list[float] = field(default_factory=list)
    bytes_a_watcher: float = 0.0


@contextlib.contextmanager
def running_servers(*, all_jobs: bool) -> Iterator[tuple["redis.Redis", list[Server]]]:
    """Both servers, the gateway first, and their Valkey. `all_jobs`: the gateway's stream is `/v1/events`."""
    with (
        open_stack(1, JOB) as stack,
        open_gateway(stack) as (ours, ours_pid),
        open_plain(stack, "gateway_plain_events.py") as (plain, plain_pid),
        stack.api() as api,
        stack.redis() as store,
    ):
        job = api.get(f"/apis/{GROUP}/{VERSION}/namespaces/default/{Kind.TRAIN.plural}/{JOB}").raise_for_status()
        stream = stream_name(job.json()["metadata"]["uid"])
        path = "/v1/events" if all_jobs else f"/jobs/{JOB}/events?kind={Kind.TRAIN.value}"
        yield (
            store,
            [
                Server("gateway", urlsplit(ours).port or 0, path, stream, ours_pid),
                Server("plain", urlsplit(plain).port or 0, "/events", STREAM, plain_pid),
            ],
        )
