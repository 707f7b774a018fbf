"""The pip configuration of this machine, translated for a build. Used by build.py.

pip itself reports it, merged from files and environment variables (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL ...). Only
settings about the sources of packages and their download are used. They may contain passwords: they are passed as a
secret file and are in no layer and no history.
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
"""The path of the certificates in the build: the usual one of a secret."""
FOLDERS_INSIDE = "/run/packages"
"""The path of package folders in the build. Not their own paths: builders leave mount points behind."""


@dataclass(frozen=True)
class PipSettings:
    """The secrets and mounts of a build."""

    secrets: dict[str, Path] = field(default_factory=dict)
    """Files, by the id that the Dockerfiles mount."""
    folders: dict[Path, str] = field(default_factory=dict)
    """Folders of packages on this machine, and their paths in the build."""


def read_pip_settings(folder: Path) -> PipSettings:
    """Write the secret file into the folder, which must outlive the build."""
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
    """Parse `pip config list`: an environment variable overrides `install`, which overrides `global`."""
    found: dict[str, str] = {}
    for scope in ("global", "install", ":env:"):
        for line in listing.splitlines():
            name, is_setting, value = line.partition("=")
            section, _, key = name.rpartition(".")
            if is_setting and section == scope and key in (*WHERE_FROM, *HOW, CERTIFICATES):
                found[key] = str(ast.literal_eval(value))
    return found


def inside(settings: dict[str, str]) -> tuple[dict[str, str], dict[Path, str]]:
    """The settings with paths of the build, and the folders to mount."""
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
