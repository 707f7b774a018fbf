"""docs/architecture.md describes the code: its diagrams match the import graph, and its names exist."""

import ast
import re
from collections.abc import Sequence
from pathlib import Path

import grimp
import pytest

from darkroom_contract import environment
from darkroom_contract.handover import ACKNOWLEDGED_FILE, ANNOTATION_ACKNOWLEDGED, ANNOTATION_RUN, RUN_FILE
from darkroom_contract.names import slot_lease_name
from darkroom_contract.status import Phase
from darkroom_contract.storage.keys import MANIFEST_FILE

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "architecture.md").read_text(encoding="utf-8")
PACKAGES = ("contract", "gateway", "operator", "runner", "local", "client", "tiny")
PARTS = ("gateway", "operator", "runner")
SERVICES = {
    "api": ("kubernetes", "kopf"),
    "s3": ("boto3", "darkroom_contract.storage.s3_client"),
    "redis": ("redis",),
    "hub": ("diffusers",),
}
"""A package that imports one of these client libraries talks to the service."""
SINGLE_CLIENT = ("kubernetes", "boto3", "redis")
"""Libraries that have no other use, so that one module or folder in each package should import them."""

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

Edge = tuple[str, str]


def diagram(name: str) -> str:
    found = re.search(rf"<!-- diagram: {name} -->\n```mermaid\n(.*?)```", PAGE, re.DOTALL)
    assert found, name
    return found[1]


def arrows(name: str) -> dict[Edge, str]:
    """The arrows of a flowchart, with their labels."""
    found = re.findall(r"^ *(\w+)\S* *-->(?:\|([^|]+)\|)? *(\w+)", bare(diagram(name)), re.MULTILINE)
    return {(start, end): text for start, text, end in found}


def bare(text: str) -> str:
    """Without shapes and titles of nodes."""
    return re.sub(r"\(\[.*?\]\)|\[\(.*?\)\]", "", text)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    packages = [f"darkroom_{package}" for package in PACKAGES]
    return grimp.build_graph(*packages, include_external_packages=True, cache_dir=None)


def package_of(module: str) -> str:
    return module.split(".")[0].removeprefix("darkroom_")


def importers(graph: grimp.ImportGraph, library: str) -> set[str]:
    """The modules of the three programs that import a library."""
    found = graph.find_modules_that_directly_import(library) if library in graph.modules else set()
    return {module for module in found if package_of(module) in PARTS}


def test_packages_import_each_other_as_drawn(graph: grimp.ImportGraph) -> None:
    ours = {module for module in graph.modules if package_of(module) in PACKAGES}
    pairs = ((package_of(a), package_of(b)) for a in ours for b in graph.find_modules_directly_imported_by(a) & ours)
    assert set(arrows("packages")) == {(a, b) for a, b in pairs if a != b}


def test_local_cluster_starts_the_programs_as_drawn() -> None:
    sources = (DOCS.parent / "local" / "darkroom_local").rglob("*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    started = {("local", part) for part in PARTS if re.search(rf'"darkroom(_{part}\.main|-{part})"', text)}
    drawn = set(re.findall(r"^ *(\w+) -\.->\|starts\| (\w+)", diagram("packages"), re.MULTILINE))
    assert drawn == started


def test_every_package_is_drawn_and_described() -> None:
    drawn = set(re.findall(r"\b\w+\b", diagram("packages"))) & set(PACKAGES)
    section = PAGE.split("## The packages")[1].split("Inside the operator")[0]
    described = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert drawn == set(PACKAGES)
    assert set(described) == set(PACKAGES)


def test_programs_talk_to_the_services_as_drawn(graph: grimp.ImportGraph) -> None:
    used = {
        (package_of(module), service)
        for service, libraries in SERVICES.items()
        for library in libraries
        for module in importers(graph, library)
    }
    assert {edge for edge in arrows("clients") if edge[0] in PARTS} == used


def test_clients_are_in_the_modules_that_are_drawn(graph: grimp.ImportGraph) -> None:
    for (package, service), module in arrows("clients").items():
        if package not in PARTS:
            continue
        client = f"darkroom_{package}.{module.removesuffix('.py').replace('/', '.')}"
        for library in SERVICES[service]:
            found = {each for each in importers(graph, library) if package_of(each) == package}
            assert not found or client in found, f"{client} does not import {library}"
            elsewhere = {each for each in found if each.rpartition(".")[0] != client.rpartition(".")[0]}
            assert library not in SINGLE_CLIENT or not elsewhere, f"{library} is imported elsewhere: {elsewhere}"


@pytest.mark.parametrize(("name", "least"), [("journey", 15), ("handover", 10)])
def test_messages_follow_the_arrows_of_the_clients(name: str, least: int) -> None:
    messages = re.findall(r"^ *(\w+)->>(\w+):", diagram(name), re.MULTILINE)
    assert len(messages) > least
    assert {edge for edge in messages if edge not in arrows("clients")} == set()


def test_journey_passes_every_phase_except_suspended() -> None:
    named = set(re.findall(r"\b[A-Z]\w+\b", diagram("journey")))
    assert set(Phase) - named == {Phase.SUSPENDED}


def test_journey_uses_the_names_of_the_contract() -> None:
    for name in (slot_lease_name(0), environment.RUN, MANIFEST_FILE):
        assert name in diagram("journey")
    endpoints = re.findall(r"\b(?:GET|POST|DELETE) /\w+", diagram("journey"))
    api = (DOCS / "api.md").read_text(encoding="utf-8")
    assert endpoints
    assert [each for each in endpoints if f"### `{each}`" not in api] == []


def test_handover_uses_the_names_of_the_contract() -> None:
    for name in (
        ANNOTATION_ACKNOWLEDGED,
        ANNOTATION_RUN,
        f"file {ACKNOWLEDGED_FILE}",
        f"file {RUN_FILE}",
        MANIFEST_FILE,
    ):
        assert name in diagram("handover")


def is_defined(place: str) -> bool:
    """Whether a module has this function or class, or the class this method. Parsed only: an import takes seconds."""
    package, *names = place.split(".")
    path = DOCS.parent / package.removeprefix("darkroom_") / package
    while names and (path / names[0]).is_dir():
        path /= names.pop(0)
    if not names or not (source := path / f"{names.pop(0)}.py").is_file():
        return False
    body: Sequence[ast.stmt] = ast.parse(source.read_text(encoding="utf-8")).body
    for name in names:
        found = (each for each in body if isinstance(each, DEFINITIONS) and each.name == name)
        if (definition := next(found, None)) is None:
            return False
        body = definition.body
    return True


def test_every_named_place_in_the_code_exists() -> None:
    places = re.findall(r"`(darkroom_\w+(?:\.\w+)+)`", PAGE)
    assert len(places) > 10
    assert [place for place in places if not is_defined(place)] == []
    assert not is_defined("darkroom_operator.reconcile.plan_slot.no_such_step")
