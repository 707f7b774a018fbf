"""`darkroom login`: stores the gateway's address and the key, after a request with them has succeeded."""

import getpass
import sys
from argparse import Namespace

from darkroom_client.cli.exit_codes import ExitCode
from darkroom_client.cli.parser import gateway_of
from darkroom_client.cli.terminal import Terminal
from darkroom_client.settings import (
    GATEWAY_VARIABLE,
    KEY_VARIABLE,
    Settings,
    checked_key,
    config_path,
    load_settings,
    save_settings,
)
from darkroom_client.sync_client import Darkroom


def login(options: Namespace, terminal: Terminal) -> int:
    gateway = load_settings(gateway_of(options), api_key="unused").gateway
    key = checked_key(_ask(gateway))
    settings = Settings(gateway, key)
    # An empty key is none: that of the environment is not tried instead.
    with Darkroom(gateway, api_key=key or "") as darkroom:
        darkroom.job_page(limit=1)
    path = config_path()
    save_settings(settings, path)
    accepted = "accepts the key" if key else "needs no key"
    first = f"{GATEWAY_VARIABLE} and {KEY_VARIABLE} take precedence over it"
    terminal.done(str(path), f"{gateway} {accepted}. Stored in {path}: {first}.")
    terminal.document({"gateway": gateway, "path": str(path)})
    return ExitCode.DONE


def _ask(gateway: str) -> str:
    """Typed without an echo, or a line of stdin. Empty for a gateway without keys."""
    if sys.stdin.isatty():
        return getpass.getpass(f"API key for {gateway} (empty for none): ", sys.stderr).strip()
    return sys.stdin.readline().strip()
