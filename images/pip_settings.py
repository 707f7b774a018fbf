"""How pip finds packages on the machine that builds, made fit for a build. Used by build.py.

pip itself tells: its files, its environment variables (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL ...) and which of them wins.
Of all settings only those are taken that say where packages come from, and how they are fetched. They may hold
passwords: they go into the build as a secret file, and stay in no layer and in no history.
"""

import ast
import configparser
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

INDEXES = ("index-url", "extra-index-url")
WHERE_FROM = (*INDEXES, "find-links")
HOW = ("trusted-host", "proxy", "timeout", "default-timeout", "retries")
CERTIFICATES = "cert"
CERTIFICATES_INSIDE = "/run/secrets/ca"
"""Where the build sees the file of certificates: a secret's usual place."""
FOLDERS_INSIDE = "/run/packages"
"""Where it sees folders of packages. Not under their own names: builders leave mount points behind."""


@dataclass(frozen=True)
class PipSettings:
    """What a build is given."""

    secrets: dict[str, Path] = field(default_factory=dict)
    """Files, by the id under which the Dockerfiles mount them."""
    folders: dict[Path, str] = field(default_factory=dict)
    """Of packages on this machine's disk, and where the build sees them."""


def read_pip_settings(folder: Path) -> PipSettings:
    """Writes the secret file into the folder, which must outlive the build."""
    settings, folders = inside(chosen(_pip_config()))
    secrets = {}
    if certificates := settings.get(CERTIFICATES):
        secrets["ca"] = Path(certificates).resolve()
        settings[CERTIFICATES] = CERTIFICATES_INSIDE
    if settings:
        secrets["pip"] = folder / "pip.conf"
        _write(secrets["pip"], settings)
    return PipSettings(secrets, folders)


def chosen(listing: str) -> dict[str, str]:
    """From what `pip config list` prints: an environment variable wins over `install`, and that over `global`."""
    found: dict[str, str] = {}
    for scope in ("global", "install", ":env:"):
        for line in listing.splitlines():
            name, is_setting, value = line.partition("=")
            section, _, key = name.rpartition(".")
            if is_setting and section == scope and key in (*WHERE_FROM, *HOW, CERTIFICATES):
                found[key] = str(ast.literal_eval(value))
    return found


def inside(settings: dict[str, str]) -> tuple[dict[str, str], dict[Path, str]]:
    """The settings as they must read in a build, and the folders that it must see for that."""
    folders: dict[Path, str] = {}

    def moved(key: str, place: str) -> str:
        path = Path(unquote(urlsplit(place).path))
        if not place.startswith(("file:", "/")) or not path.is_dir():
            return place
        # The pages of an index link to files beside it.
        root = path.parent if key in INDEXES else path
        new = folders.setdefault(root, f"{FOLDERS_INSIDE}/{len(folders)}")
        return f"file://{new}/{path.relative_to(root)}" if key in INDEXES else new

    read = {key: value.split() if key in WHERE_FROM else [value] for key, value in settings.items()}
    return {key: "\n".join(moved(key, each) for each in values) for key, values in read.items()}, folders


def _pip_config() -> str:
    command = [sys.executable, "-m", "pip", "config", "list"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603


def _write(path: Path, settings: dict[str, str]) -> None:
    parser = configparser.RawConfigParser()
    parser["global"] = settings
    with path.open("w", encoding="utf-8") as file:
        parser.write(file)
    path.chmod(0o600)
