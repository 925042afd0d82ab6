"""The house: imports go down only, each foreign library has one home, and files stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "rsq_pipe"

# Dataclasses for a reason that docs/adr/0034-structs-instead-of-dataclasses.md names.
DATACLASSES = {
    # values of the library's reference
    *("ConsumerConfig", "ConsumerInfo", "ConsumerMetrics", "PendingEntry"),
    *("ProducerMetrics", "StreamMessage", "StreamStats"),
    # fields that are not shown, not compared or computed
    *(
        "DeadLetter",
        "SettlementBuilder",
        "Endpoint",
        "Expression",
        "FieldRule",
        "Filter",
        "HttpRef",
        "Link",
        "PostgresRef",
    ),
    *("Process", "RedisRef", "SchemaCheck", "Sieve", "Site", "StreamForm", "StreamRef", "Table", "Work"),
    # a field of a pydantic model
    "Sampling",
}

# Part of the house -> its layer. A part may import its own layer and those below.
LAYERS = {
    "error_text": 0,
    "errors": 0,
    "extras": 0,
    "growing_pause": 0,
    "hosts": 0,
    "ids": 0,
    "lock_holder": 0,
    "process_state": 0,
    "redaction": 0,
    "suggestion": 0,
    "units": 0,
    "handlers": 1,
    "model": 1,
    "version": 0,
    "zones": 0,
    "streams": 1,
    "connectors": 2,
    "server": 2,
    "spec": 2,
    "sql": 2,
    "verbs": 2,
    "telemetry": 2,
    "engine": 3,
    "ops": 4,
    "testing": 4,
    "cli": 5,
    "page": 5,
    "__main__": 5,
}
# Library -> the one part that may import it.
HOMES = {"redis": "streams", "hiredis": "streams", "opentelemetry": "telemetry"}
VAGUE_NAMES = {"base", "common", "helper", "helpers", "lib", "manager", "misc", "tools", "util", "utils"}
LONGEST_FILE = 400


@dataclass(frozen=True)
class Module:
    """One file of the package: its dotted name, and what it imports while the program runs."""

    name: str
    path: Path
    imports: frozenset[str]

    @property
    def part(self) -> str:
        """The part of the house it stands in; empty for `rsq_pipe/__init__.py`."""
        return part_of(self.name)


def part_of(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


@cache
def modules() -> dict[str, Module]:
    paths = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}
    return {
        name: Module(name, path, frozenset(imports(ast.parse(path.read_text()), set(paths))))
        for name, path in paths.items()
    }


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, known: set[str]) -> Iterator[str]:
    """Yield what a file imports at its top or in functions; what only type checkers see does not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are written in full, not relative"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else str(node.module)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield from imports(other, known)
        else:
            yield from imports(node, known)


def edges() -> Iterator[tuple[Module, Module]]:
    known = modules()
    for module in known.values():
        for name in module.imports:
            if name in known:
                yield module, known[name]


def test_every_part_of_the_house_has_a_layer() -> None:
    assert {module.part for module in modules().values()} - {""} <= LAYERS.keys()


def test_imports_go_down_only() -> None:
    wrong = [
        f"{module.name} (L{LAYERS[module.part]}) imports {target.name} (L{LAYERS[target.part]})"
        for module, target in edges()
        if module.part and target.part and LAYERS[target.part] > LAYERS[module.part]
    ]

    assert not wrong


def test_nothing_inside_imports_the_facade() -> None:
    # It would load, through one name, what the importer must not know.
    assert [module.name for module in modules().values() if "rsq_pipe" in module.imports] == []


@pytest.mark.parametrize(("library", "home"), HOMES.items(), ids=HOMES)
def test_a_foreign_library_has_one_home(library: str, home: str) -> None:
    users = {
        module.name
        for module in modules().values()
        if module.part != home and any(name.split(".")[0] == library for name in module.imports)
    }

    assert not users


def cyclic(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Take away, again and again, what imports nothing that is left; what remains hangs on a cycle."""
    while leaves := {name for name, targets in graph.items() if not targets & graph.keys()}:
        graph = {name: targets for name, targets in graph.items() if name not in leaves}
    return graph


def test_there_are_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for module, target in edges():
        graph[module.name].add(target.name)

    assert not cyclic(graph), "these import one another, or hang on ones that do"


def test_there_are_no_cycles_of_packages() -> None:
    graph: dict[str, set[str]] = {part: set() for part in LAYERS}
    for module, target in edges():
        if module.part and target.part and module.part != target.part:
            graph[module.part].add(target.part)

    assert not cyclic(graph), "these import one another, or hang on ones that do"


def room_of(name: str) -> str:
    """Name the package inside a part that a file stands in; the file itself where it stands in none."""
    return ".".join(name.split(".")[:3])


def test_there_are_no_cycles_of_packages_inside_a_part() -> None:
    graph: dict[str, set[str]] = {room_of(name): set() for name in modules()}
    for module, target in edges():
        if room_of(module.name) != room_of(target.name):
            graph[room_of(module.name)].add(room_of(target.name))

    assert not cyclic(graph), "these import one another, or hang on ones that do"


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {str(m.path): len(m.path.read_text().splitlines()) for m in modules().values()}

    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_every_file_is_named_after_what_it_holds() -> None:
    vague = [name for name in modules() if VAGUE_NAMES & set(name.split("."))]

    assert not vague


def test_values_are_structs_where_a_dataclass_has_no_more_to_offer() -> None:
    found = {
        node.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any("dataclass" in ast.unparse(one) for one in node.decorator_list)
    }

    assert found == DATACLASSES, (
        "define a msgspec.Struct: it takes a fortieth of the time when a command starts"
    )


def test_importing_the_package_loads_no_foreign_library() -> None:
    script = "import sys, rsq_pipe; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert not {"redis", "pydantic", "opentelemetry", "yaml", "asyncio"} & set(loaded.split())
