"""docs/architecture.md tells of the code as it is: its diagrams are read and held to the import graph."""

import ast
import re
from collections.abc import Sequence
from pathlib import Path

import grimp
import pytest

from darkroom_contract import environment
from darkroom_contract.names import slot_lease_name
from darkroom_contract.status import Phase
from darkroom_contract.storage import MANIFEST_FILE

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "architecture.md").read_text(encoding="utf-8")
ROOMS = ("contract", "gateway", "operator", "runner", "local", "tiny")
PARTS = ("gateway", "operator", "runner")
SERVICES = {"api": ("kubernetes", "kopf"), "s3": ("boto3",), "redis": ("redis",), "hub": ("diffusers",)}
"""How a room that speaks to a service is known: by the client library that it imports."""
ONE_DOOR = ("kubernetes", "boto3", "redis")
"""Libraries that serve for nothing else, so that one module alone should import them."""

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

Edge = tuple[str, str]


def diagram(name: str) -> str:
    found = re.search(rf"<!-- diagram: {name} -->\n```mermaid\n(.*?)```", PAGE, re.DOTALL)
    assert found, name
    return found[1]


def arrows(name: str) -> dict[Edge, str]:
    """The arrows of a flowchart, each with its text."""
    found = re.findall(r"^ *(\w+)\S* *-->(?:\|([^|]+)\|)? *(\w+)", bare(diagram(name)), re.MULTILINE)
    return {(start, end): text for start, text, end in found}


def bare(text: str) -> str:
    """Without the shapes and titles of nodes."""
    return re.sub(r"\(\[.*?\]\)|\[\(.*?\)\]", "", text)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    packages = [f"darkroom_{room}" for room in ROOMS]
    return grimp.build_graph(*packages, include_external_packages=True, cache_dir=None)


def room_of(module: str) -> str:
    return module.split(".")[0].removeprefix("darkroom_")


def importers(graph: grimp.ImportGraph, library: str) -> set[str]:
    """The modules of the three programs that import a library."""
    found = graph.find_modules_that_directly_import(library) if library in graph.modules else set()
    return {module for module in found if room_of(module) in PARTS}


def test_the_rooms_import_each_other_as_drawn(graph: grimp.ImportGraph) -> None:
    ours = {module for module in graph.modules if room_of(module) in ROOMS}
    pairs = ((room_of(a), room_of(b)) for a in ours for b in graph.find_modules_directly_imported_by(a) & ours)
    assert set(arrows("rooms")) == {(a, b) for a, b in pairs if a != b}


def test_the_local_cluster_starts_the_programs_that_are_drawn() -> None:
    sources = (DOCS.parent / "local" / "darkroom_local").rglob("*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    started = {("local", part) for part in PARTS if re.search(rf'"darkroom(_{part}\.main|-{part})"', text)}
    drawn = set(re.findall(r"^ *(\w+) -\.->\|starts\| (\w+)", diagram("rooms"), re.MULTILINE))
    assert drawn == started


def test_every_room_is_drawn_and_told() -> None:
    drawn = set(re.findall(r"\b\w+\b", diagram("rooms"))) & set(ROOMS)
    told = re.findall(r"^\| `(\w+)` \|", PAGE.split("## The rooms")[1], re.MULTILINE)
    assert drawn == set(ROOMS)
    assert set(told) == set(ROOMS)


def test_the_programs_speak_to_the_services_that_are_drawn(graph: grimp.ImportGraph) -> None:
    spoken = {
        (room_of(module), service)
        for service, libraries in SERVICES.items()
        for library in libraries
        for module in importers(graph, library)
    }
    assert {edge for edge in arrows("doors") if edge[0] in PARTS} == spoken


def test_the_doors_are_the_modules_that_are_drawn(graph: grimp.ImportGraph) -> None:
    for (room, service), module in arrows("doors").items():
        if room not in PARTS:
            continue
        door = f"darkroom_{room}.{module.removesuffix('.py')}"
        for library in SERVICES[service]:
            found = {each for each in importers(graph, library) if room_of(each) == room}
            assert not found or door in found, f"{door} does not import {library}"
            assert library not in ONE_DOOR or found <= {door}, f"{library} has other doors: {found}"


def test_nobody_on_the_journey_speaks_to_whom_it_can_t_reach() -> None:
    spoken = re.findall(r"^ *(\w+)->>(\w+):", diagram("journey"), re.MULTILINE)
    assert len(spoken) > 15
    assert {edge for edge in spoken if edge not in arrows("doors")} == set()


def test_the_journey_passes_every_phase_but_the_one_for_waiting_aside() -> None:
    told = set(re.findall(r"\b[A-Z]\w+\b", diagram("journey")))
    assert set(Phase) - told == {Phase.SUSPENDED}


def test_the_journey_calls_things_by_their_names() -> None:
    for name in (slot_lease_name(0), environment.RUN, MANIFEST_FILE):
        assert name in diagram("journey")
    endpoints = re.findall(r"\b(?:GET|POST|DELETE) /\w+", diagram("journey"))
    api = (DOCS / "api.md").read_text(encoding="utf-8")
    assert endpoints
    assert [each for each in endpoints if f"### `{each}`" not in api] == []


def is_defined(place: str) -> bool:
    """Whether a module has such a function or class, or the class such a method. Read only: an import takes seconds."""
    package, module, *names = place.split(".")
    source = DOCS.parent / package.removeprefix("darkroom_") / package / f"{module}.py"
    body: Sequence[ast.stmt] = ast.parse(source.read_text(encoding="utf-8")).body
    for name in names:
        found = (each for each in body if isinstance(each, DEFINITIONS) and each.name == name)
        if (definition := next(found, None)) is None:
            return False
        body = definition.body
    return True


def test_every_place_in_the_code_is_there() -> None:
    places = re.findall(r"`(darkroom_\w+(?:\.\w+)+)`", PAGE)
    assert len(places) > 10
    assert [place for place in places if not is_defined(place)] == []
    assert not is_defined("darkroom_operator.reconcile.plan_slot.no_such_step")
