"""The state directory of a local cluster (`.darkroom`). Used by the cluster, and by the node for its lock.

    cluster.json      format version, ports and credentials, chosen at the first start (settings.py)
    lock              locked by the process that uses the directory
    kubeconfig        for kubectl, with the namespace of the jobs
    runner-template.yaml   merged into every runner pod by the operator
    webhook-secrets   what webhooks are signed with; receivers check signatures with it
    bin/              the one program that pods may run
    apiserver/ redis/ s3/ node/   data of the components
    logs/             one log file per component

Everything is private to its owner (0700 and 0600), enforced at every start: it holds secrets and photos. Ports and
credentials persist over restarts, so existing kubeconfigs and signed links stay valid.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from darkroom_local.errors import LocalError, StateInUseError
from darkroom_local.state.private_files import DRAFT_SUFFIX
from darkroom_local.state.settings import ClusterSettings, load_or_choose, parse, read_document

SETTINGS_FILE = "cluster.json"
LOCK_FILE = "lock"
KUBECONFIG = "kubeconfig"
RUNNER_TEMPLATE = "runner-template.yaml"
WEBHOOK_SECRETS = "webhook-secrets"
LOGS = "logs"

FILES = frozenset({SETTINGS_FILE, LOCK_FILE, KUBECONFIG, RUNNER_TEMPLATE, WEBHOOK_SECRETS})
FOLDERS = frozenset({"apiserver", "redis", "s3", "node", "bin", LOGS})
OWN_NAMES = FILES | FOLDERS | {name + DRAFT_SUFFIX for name in FILES}
"""Every top-level name that Darkroom creates. Other files in the directory belong to the user and are never touched."""


class StateDir:
    """The directory, locked for this process while it is in use."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.kubeconfig = self.root / KUBECONFIG
        self.runner_template = self.root / RUNNER_TEMPLATE
        self.webhook_secrets = self.root / WEBHOOK_SECRETS
        self.logs = self.root / LOGS
        self._settings_path = self.root / SETTINGS_FILE

    def folder(self, name: str) -> Path:
        """The data folder of a component, created when missing."""
        path = self.root / name
        with _readable_errors(self.root):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Create the directory if needed, lock it, and make it private. The kernel releases the lock if we are killed.

        Raises `StateInUseError` when another process holds the lock, and `LocalError` when the directory is unusable.
        """
        with _readable_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self.root / LOCK_FILE).open("a+", encoding="utf-8")
        with lock:
            with _readable_errors(self.root):
                self._acquire(lock)
                self._make_private()
            try:
                yield
            finally:
                lock.truncate(0)  # The pid may be another process's later.

    def _acquire(self, lock: TextIO) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise StateInUseError(
                f"{self.root} is used by process {holder}: stop it, or choose another directory"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()

    def _make_private(self) -> None:
        """Remove access that older releases gave to other users; of the directory only if all in it is ours."""
        entries = list(self.root.iterdir())
        for entry in entries:
            if entry.name in OWN_NAMES and not entry.is_symlink():
                entry.chmod(0o700 if entry.is_dir() else 0o600)
        if all(entry.name in OWN_NAMES for entry in entries):
            self.root.chmod(0o700)

    def last_gateway_port(self) -> int | None:
        """The gateway's port at the last start; None for a new directory."""
        with _readable_errors(self.root):
            document = read_document(self._settings_path)
        return None if document is None else parse(document).ports.gateway

    def settings(self, *, gateway_port: int | None = None) -> ClusterSettings:
        """Ports and credentials, chosen now for a new directory; `gateway_port` replaces the stored one.

        Raises `LocalError` when they are damaged or were written by a newer release.
        """
        with _readable_errors(self.root):
            return load_or_choose(self._settings_path, gateway_port)


@contextlib.contextmanager
def _readable_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or root
        raise LocalError(f"{root} can't be used as the state directory: {error.strerror} ({where})") from error
