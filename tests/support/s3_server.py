"""The embedded S3 server as a process with one bucket, and clients for S3 servers of tests."""

import contextlib
import secrets
import sys
from pathlib import Path
from typing import Any

from darkroom_contract.storage.s3_client import open_client
from darkroom_local.processes.ports import free_ports
from support.server_process import Process

BUCKET = "darkroom"
ACCESS_KEY = "darkroom"


class S3Server(Process):
    """Checks signatures. Objects are files in `data_dir`."""

    def __init__(self, folder: Path, *, creates_bucket: bool = True, python: Path = Path(sys.executable)) -> None:
        """`python` runs the server."""
        self._creates_bucket = creates_bucket
        [self.port] = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = folder / "s3"
        self.credentials = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
        keys = {"NANIO_ACCESS_KEY": ACCESS_KEY, "NANIO_SECRET_KEY": self.credentials["AWS_SECRET_ACCESS_KEY"]}
        command = [str(python), "-m", "darkroom_local.s3", "--data-dir", str(self.data_dir)]
        command += ["--port", str(self.port)]
        super().__init__(command, folder / "s3.log", keys, ready_url=f"{self.url}/.health")

    def start(self) -> None:
        super().start()
        if not self._creates_bucket:
            return
        with contextlib.closing(self.client()) as client:
            client.create_bucket(Bucket=BUCKET)

    def client(self) -> Any:
        return s3_client(self.url, *self.credentials.values())


def s3_client(url: str, access_key: str, secret_key: str) -> Any:
    return open_client(url, "us-east-1", aws_access_key_id=access_key, aws_secret_access_key=secret_key)
