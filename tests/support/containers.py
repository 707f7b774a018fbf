"""Containers as a kubelet would start ours: another user, a root file system that can't be written, no capabilities.

docker and podman take the same arguments, with the exceptions in this module. The host's network is used, since the
servers that the tests start listen on loopback.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.waiting import waiter

NAMES = ("docker", "podman")
USER = "65532:65532"
SECONDS = 240.0
LIMIT = 4096

wait_until = waiter(SECONDS)


@dataclass(frozen=True)
class Engine:
    """docker or podman."""

    name: str

    def __call__(self, *words: str, check: bool = True) -> str:
        """What it prints."""
        done = subprocess.run([self.name, *words], capture_output=True, text=True)
        assert done.returncode == 0 or not check, f"{self.name} {' '.join(words)}: {done.stderr}"
        return done.stdout.strip()

    def has(self, image: str) -> bool:
        return subprocess.run([self.name, "image", "inspect", image], capture_output=True).returncode == 0

    def image(self, name: str) -> "Image":
        return Image(self, name, json.loads(self("image", "inspect", name))[0])

    def start(
        self,
        image: str,
        *command: str,
        environment: Mapping[str, str] | None = None,
        mounts: Mapping[str, Path] | None = None,
        writable: Mapping[str, Path] | None = None,
        user: str = USER,
    ) -> "Container":
        """Mounts are read-only; `writable` ones stand for the writable volumes of a pod."""
        words = ["run", "--detach", "--network=host", "--read-only", "--cap-drop=all"]
        words += ["--security-opt=no-new-privileges", f"--user={user}", *self._own_flags()]
        words += [f"--env={name}={value}" for name, value in (environment or {}).items()]
        words += [f"--volume={path}:{inside}:ro" for inside, path in (mounts or {}).items()]
        words += [f"--volume={path}:{inside}" for inside, path in (writable or {}).items()]
        return Container(self, self(*words, image, *command).splitlines()[-1])

    def run(self, image: str, *command: str, **options: Any) -> str:
        """The output of a command, which must exit with 0."""
        container = self.start(image, *command, **options)
        try:
            code = container.wait()
            assert code == 0, container.log()
            return container.log().strip()
        finally:
            container.remove()

    def _own_flags(self) -> Sequence[str]:
        if self.name == "docker":
            return ()
        # podman would make /tmp, /run and more writable, which no kubelet does; and it asks for higher limits than it
        # may have where it is in a container itself.
        return ("--read-only-tmpfs=false", f"--ulimit=nofile={LIMIT}:{LIMIT}", f"--ulimit=nproc={LIMIT}:{LIMIT}")


@dataclass(frozen=True)
class Image:
    """One image, and what the engine reports about it."""

    engine: Engine
    name: str
    inspected: dict[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        identity: str = self.inspected["Id"]
        return identity

    @property
    def bytes(self) -> int:
        size: int = self.inspected["Size"]
        return size

    @property
    def layers(self) -> list[str]:
        """Digests of their content, the lowest first."""
        found: list[str] = self.inspected["RootFS"]["Layers"]
        return found

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = self.inspected["Config"]
        return found

    def history(self) -> str:
        return self.engine("history", "--no-trunc", "--format={{.CreatedBy}}", self.name)

    def layer_bytes(self) -> list[int]:
        """Sizes of the layers, the highest first; steps that made none are left out."""
        if self.engine.name == "podman":
            sizes = [step["size"] for step in json.loads(self.engine("history", "--format=json", self.name))]
        else:
            sizes = self.engine("history", "--human=false", "--format={{.Size}}", self.name).split()
        return [int(size) for size in sizes if int(size)]

    def python(self, program: str, **options: Any) -> Any:
        """What a program within it prints as JSON, last."""
        return json.loads(self.engine.run(self.name, "python", "-c", program, **options).splitlines()[-1])


@dataclass(frozen=True)
class Container:
    """One that was started."""

    engine: Engine
    id: str

    def log(self) -> str:
        command = [self.engine.name, "logs", self.id]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout

    def has_ended(self) -> bool:
        return self.engine("inspect", "--format={{.State.Running}}", self.id) == "false"

    def wait(self) -> int:
        """Its exit code."""
        wait_until(self.has_ended, "the container ends")
        return int(self.engine("inspect", "--format={{.State.ExitCode}}", self.id))

    def signal(self, name: str) -> None:
        self.engine("kill", f"--signal={name}", self.id)

    def remove(self) -> None:
        self.engine("rm", "--force", self.id)


def find_engine(name: str | None) -> Engine | None:
    """The one of that name or the first that works; docker's program alone runs nothing."""
    for each in [name] if name else NAMES:
        if shutil.which(each) and subprocess.run([each, "info"], capture_output=True).returncode == 0:
            return Engine(each)
    return None
