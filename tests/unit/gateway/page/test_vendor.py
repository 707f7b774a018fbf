"""The page's libraries are those of npm: the manifest names package, version, hash and licence of each file. And the
files of the page are in the wheel."""

import hashlib
import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from darkroom_gateway.page.files import PageFiles

REPOSITORY = Path(__file__).resolve().parents[4]
VENDOR = resources.files("darkroom_gateway.page") / "static" / "vendor"
MANIFEST = json.loads((VENDOR / "manifest.json").read_text(encoding="utf-8"))
LIBRARIES = {each["package"]: each for each in MANIFEST["libraries"]}
LOCK = json.loads((REPOSITORY / "page" / "package-lock.json").read_text(encoding="utf-8"))["packages"]


def test_every_file_has_the_hash_of_the_manifest() -> None:
    hashes = {name: file["sha256"] for each in LIBRARIES.values() for name, file in each["files"].items()}
    code = [each for each in VENDOR.iterdir() if each.name.endswith((".js", ".css"))]

    assert {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in code} == hashes


@pytest.mark.parametrize("package", sorted(LIBRARIES))
def test_version_and_integrity_are_those_of_the_lock_file(package: str) -> None:
    library, locked = LIBRARIES[package], LOCK[f"node_modules/{package}"]

    assert (library["version"], library["integrity"]) == (locked["version"], locked["integrity"])
    assert library["licence"] == locked["license"]


def test_every_library_has_its_licence_beside_it() -> None:
    texts = {name: (VENDOR / each["licence_file"]).read_text(encoding="utf-8") for name, each in LIBRARIES.items()}
    marks = {"MIT": "Permission is hereby granted", "Apache-2.0": "Apache License"}

    assert set(texts) == set(LOCK[""]["dependencies"])
    assert [name for name, text in texts.items() if marks[LIBRARIES[name]["licence"]] not in text] == []


def test_lock_file_names_no_registry() -> None:
    packages: list[dict[str, Any]] = list(LOCK.values())

    assert [each["resolved"] for each in packages if "resolved" in each] == []
    assert all("integrity" in each for name, each in LOCK.items() if name)


def test_libraries_import_only_each_other() -> None:
    for each in VENDOR.iterdir():
        if each.name.endswith(".js"):
            assert b'from"preact' not in each.read_bytes()
            assert b"sourceMappingURL" not in each.read_bytes()


def test_wheel_has_every_file_of_the_page_and_the_licences() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    package = REPOSITORY / "gateway" / "darkroom_gateway"
    patterns = settings["package-data"]["darkroom_gateway"]
    packed = {str(path.relative_to(package / "page/static")) for each in patterns for path in package.glob(each)}

    assert {"index.html", *PageFiles(package / "page" / "static").files} - packed == set()
    assert {f"vendor/{each['licence_file']}" for each in LIBRARIES.values()} - packed == set()
