"""`darkroom up` as a process, and what a person does to it: over HTTP, and with kubectl."""

import contextlib
import functools
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from darkroom_contract.names import GROUP, LABEL_JOB_NAME, VERSION, Kind
from darkroom_local.node.journal import RunRecord, read_journal, runs_by_job
from darkroom_local.processes.ports import free_ports
from support.kube_api import Api, ok
from support.processes import children
from support.s3_server import s3_client
from support.waiting import waiter
from support.warm_parent.forks import behind

REPOSITORY = Path(__file__).resolve().parents[2]
PHOTOS = sorted((REPOSITORY / "examples" / "photos").glob("*.png"))
BIN = Path(sys.executable).parent

START_SECONDS = 240.0
RUN_SECONDS = 600.0
FINAL = ("Succeeded", "Failed")
GIVEN_KUBECONFIG = Path(os.environ["KUBECONFIG"]) if os.environ.get("KUBECONFIG") else None

PLURALS = {kind.singular: f"{kind.plural}.{GROUP}/{VERSION}" for kind in Kind}

wait_for = waiter(RUN_SECONDS)


class Darkroom:
    """One local cluster. It may be killed and started again on the same folder."""

    def __init__(
        self,
        folder: Path,
        python: Path,
        kubeconfig: Path | None = GIVEN_KUBECONFIG,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        program: Path = BIN / "darkroom",
    ) -> None:
        """`python` is the interpreter to use; its folder holds the runner that pods run.

        `kubeconfig` is of the API server to use in place of the embedded one: by default KUBECONFIG's, if any.
        `options` are further ones of `darkroom up`, and `environment` further variables.
        """
        self._python = python
        self._program = program
        self._options = options
        self._environment = {**os.environ, **(environment or {})}
        self._given = kubeconfig
        self.state_dir = folder / "state"
        self.log_path = folder / "up.log"
        [self.port] = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        self.namespace = f"stories-{secrets.token_hex(4)}"
        """On an API server that others use, too: a cluster of its own each."""
        self._process: subprocess.Popen[bytes] | None = None
        self._clients = contextlib.ExitStack()

    @property
    def jobs_namespace(self) -> str:
        """Where its jobs are."""
        return "default" if self._given is None else self.namespace

    def start(self) -> None:
        command = [self._python, self._program, "up", "--state-dir", self.state_dir, "--port", str(self.port)]
        command += self._options
        if self._given is not None:
            command += ["--kubeconfig", self._given, "--namespace", self.namespace]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=REPOSITORY,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self._is_ready, f"darkroom up, see {self.log_path}", START_SECONDS)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log_path.read_text(encoding="utf-8")
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        """Ctrl-C. Its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(60)

    def kill(self) -> None:
        """SIGKILL, to the parent alone: everything else has to die with it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def close(self) -> None:
        self.http.close()
        self._clients.close()
        if self._process is not None and self._process.poll() is None:
            if self._given is not None:
                # While node and operator are there to take leave of its pods and jobs.
                self.kubectl("delete", "namespace", self.namespace, "--timeout=20s", check=False)
            self.stop()

    def log(self, part: str) -> str:
        return (self.state_dir / "logs" / f"{part}.log").read_text(encoding="utf-8", errors="replace")

    def pids(self, word: str = "") -> list[int]:
        """The parts of this cluster whose command lines have the word in them, by the logs that they write to."""
        logs, found = str(self.state_dir / "logs"), []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                is_part = os.readlink(folder / "fd" / "2").startswith(logs)
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # It ended meanwhile.
            if is_part and word in command:
                found.append(int(folder.name))
        return found

    def kill_gateway(self) -> None:
        """SIGKILL. `darkroom up` starts it again."""
        for pid in self.pids("darkroom_gateway"):
            os.kill(pid, signal.SIGKILL)

    def part(self, name: str) -> list[int]:
        """The processes that write to the log of a part: one while it runs, also where its interpreter was forked."""
        log, found = str(self.state_dir / "logs" / f"{name}.log"), []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # It ended meanwhile.
                if os.readlink(folder / "fd" / "2") == log:
                    found.append(int(folder.name))
        return found

    def workers(self) -> list[int]:
        """The processes that do the work of the runs that have not ended."""
        started = [child for run in self.record() if run.ended is None for child in children(behind(run.pid))]
        return [behind(each) for each in started]

    @functools.cached_property
    def bucket(self) -> Any:
        """A boto3 client with the cluster's own credentials."""
        settings = json.loads((self.state_dir / "cluster.json").read_text(encoding="utf-8"))
        keys = settings["credentials"]
        url = f"http://127.0.0.1:{settings['ports']['s3']}"
        return self._clients.enter_context(
            contextlib.closing(s3_client(url, keys["s3_access_key"], keys["s3_secret_key"]))
        )

    def record(self) -> list[RunRecord]:
        """The node's own record of processes, split where a pod was handed over to another job."""
        return runs_by_job(read_journal(self.state_dir / "node" / "record.jsonl"))

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Its output. With `check` off, also what it says of its failure."""
        environment = {
            "KUBECONFIG": str(self.state_dir / "kubeconfig"),
            "PATH": os.defpath,
            "HOME": str(self.state_dir),
        }
        done = subprocess.run(
            [BIN / "kubectl", *arguments],
            cwd=REPOSITORY,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout if check else done.stdout + done.stderr

    @functools.cached_property
    def api(self) -> Api:
        """Reads cost much less than with kubectl."""
        found = Api(self.state_dir / "kubeconfig", self.jobs_namespace)
        self._clients.callback(found.http.close)
        return found

    def apply(self, kind: str, name: str, **spec: Any) -> str:
        """Create a job by YAML (JSON is YAML)."""
        document = {"apiVersion": "darkroom.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        return self.kubectl("apply", "-f", "-", stdin=json.dumps(document))

    def resource(self, kind: str, name: str) -> dict[str, Any]:
        """A `trainjob` or `generatejob`."""
        return self.api.read(PLURALS[kind], name)

    def conditions(self, kind: str, name: str) -> dict[str, dict[str, Any]]:
        """Of a job, by their types; none before it has a status."""
        found = self.resource(kind, name).get("status", {}).get("conditions") or []
        return {each["type"]: each for each in found}

    def pods_of(self, job: str) -> list[dict[str, Any]]:
        """The pods of a job that are there now."""
        return self.pods(f"{LABEL_JOB_NAME}={job}")

    def pods(self, selector: str) -> list[dict[str, Any]]:
        """By their labels."""
        found: list[dict[str, Any]] = ok(self.api.get("pods", labelSelector=selector))["items"]
        return found

    def runs_of(self, job: str) -> list[RunRecord]:
        """Its runs in the node's own record."""
        return [run for run in self.record() if run.labels.get(LABEL_JOB_NAME) == job]

    def train(self, photos: list[Path] = PHOTOS, **parameters: Any) -> str:
        """The task id of a training that was taken."""
        files = [("files", (photo.name, photo.read_bytes(), "image/png")) for photo in photos]
        return self._task(self.http.post("/train", params=parameters, files=files))

    def generate(self, path: str = "/generate/sdxl", **parameters: Any) -> str:
        return self._task(self.http.post(path, params=parameters))

    @staticmethod
    def _task(response: httpx.Response) -> str:
        assert response.status_code == 202, response.text
        task_id: str = response.json()["task_id"]
        return task_id

    def job(self, task_id: str) -> dict[str, Any]:
        response = self.http.get(f"/jobs/{task_id}")
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def wait_for_phase(self, task_id: str, *phases: str, seconds: float = RUN_SECONDS) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            job = self.job(task_id)
            assert job["phase"] in phases or job["phase"] not in FINAL, job
            return job if job["phase"] in phases else None

        found: dict[str, Any] = wait_for(reached, f"{task_id} is {' or '.join(phases)}", seconds)
        return found
