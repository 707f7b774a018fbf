"""The operator that the admission benchmarks measure, and the proxy that counts its requests."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout, web

from darkroom_contract import names
from darkroom_local.kube.kubeconfig import Connection, write_kubeconfig
from darkroom_local.processes.ports import free_ports
from darkroom_operator.leader_election import LEASE

NO_NODE_HAS = f"{names.GROUP}/benchmark"
"""An extended resource: pods that request it wait forever."""
UNUSED = "unused"
"""The proxy requires no token."""


@contextlib.contextmanager
def start_operator(kubeconfig: Path, namespace: str, python: str = sys.executable) -> Iterator[subprocess.Popen[bytes]]:
    """An operator, of the build that this interpreter imports."""
    environment = os.environ | {
        "KUBECONFIG": str(kubeconfig),
        "DARKROOM_NAMESPACE": namespace,
        "DARKROOM_RUNNER_IMAGE": "darkroom/runner:benchmark",
        "DARKROOM_GPU_RESOURCE": NO_NODE_HAS,
    }
    command = [python, "-m", "darkroom_operator.main"]
    operator = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield operator
    finally:
        operator.terminate()
        operator.wait(20)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


@contextlib.asynccontextmanager
async def counting_proxy(connection: Connection, namespace: str) -> AsyncIterator[tuple[Path, Counter[str]]]:
    """A proxy to the API server that counts requests by method. Yields its kubeconfig and the counter."""
    requests: Counter[str] = Counter()
    headers = {"Authorization": f"Bearer {connection.token}"} if connection.token else {}
    tls = connection.verify if connection.server.startswith("https") else None

    async def forward(request: web.Request) -> web.StreamResponse:
        if not request.path.endswith(f"/{LEASE}"):  # A leader renews its term once a second anyway.
            requests[request.method] += 1
        url = connection.server + request.rel_url.raw_path_qs.removeprefix(f"/{UNUSED}")
        kept = {name: request.headers[name] for name in ("Content-Type", "Accept") if name in request.headers}
        # An empty body would be sent with a content type, which a real API server refuses.
        body = await request.read() or None
        async with session.request(request.method, url, data=body, headers=headers | kept, ssl=tls or True) as answer:
            response = web.StreamResponse(status=answer.status)
            response.content_type = answer.content_type
            with contextlib.suppress(ConnectionResetError):  # The operator ends its watches when it is stopped.
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            return response

    [port] = free_ports(1)
    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_route("*", "/{path:.*}", forward)
    async with ClientSession(timeout=ClientTimeout(total=None)) as session:
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as kubeconfig:
            kubeconfig.write(write_kubeconfig(f"http://127.0.0.1:{port}", UNUSED, namespace))
            kubeconfig.flush()
            yield Path(kubeconfig.name), requests
        await runner.cleanup()
