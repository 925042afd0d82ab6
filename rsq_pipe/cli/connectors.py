"""`rsq-pipe connectors`: the available sources and sinks, what each promises, and its settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import rich_click as click
from rich.table import Table
from rich.text import Text

from rsq_pipe.cli.output.note import console_for
from rsq_pipe.connectors.examples import EXAMPLES
from rsq_pipe.connectors.table import LISTED, Kind, Listed, types
from rsq_pipe.extras import install
from rsq_pipe.spec.reference import setting_groups, setting_rows
from rsq_pipe.suggestion import suggest

KINDS: tuple[Kind, ...] = get_args(Kind)
BOUNDED = {
    "exec": "one run of the command, or with `ack: line` one answer",
    "http": "one request",
    "python": "one call",
}
"""Sinks that have the settings of a stage that calls, and what its `timeout` limits."""

_INSTALLED = Listed("", "see the package that installed it")


def beginning_with(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    """List the connectors whose names begin with what is typed, for the shell."""
    return sorted({one for kind in KINDS for one in types(kind) if one.startswith(begun)})


@click.command("connectors")
@click.argument("name", required=False, metavar="[NAME]", shell_complete=beginning_with)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str | None, as_json: bool) -> None:
    """
    List the available sources and sinks, or show the settings of one.

    The list says how each source goes on after a stop, what a sink's target has of each record, and the
    extra to install where one is needed. With NAME: every setting, and an example. Needs no server.
    """
    if name is not None and not any(name in types(kind) for kind in KINDS):
        known = sorted({one for kind in KINDS for one in types(kind)})
        raise click.UsageError(f"there is no connector {name!r}; {suggest(name, known)}")
    found = [_described(kind, one) for kind in KINDS for one in types(kind) if name in (None, one)]
    if as_json:
        whole = found if name is None else [{**one, **_settings(one)} for one in found]
        sys.stdout.write(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    elif name is None:
        _print(_list(found))
        sys.stdout.write(_missing(found))
    else:
        for place, one in enumerate(found):
            sys.stdout.write("\n" if place else "")
            _show(one)


def _described(kind: Kind, name: str) -> dict[str, Any]:
    listed = LISTED[kind].get(name, _INSTALLED)
    return {
        "kind": kind,
        "type": name,
        "promise": listed.promise,
        "extra": listed.extra or None,
        "installed": not listed.missing,
        "example": EXAMPLES.get((kind, name), ""),
    }


def _settings(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a connector, and the groups of settings they refer to."""
    groups = setting_groups(one["kind"], one["type"])
    return {
        "settings": _named(setting_rows(one["kind"], one["type"])),
        "groups": [{"name": name, "what": what, "settings": _named(rows)} for name, what, rows in groups],
    }


def _named(rows: Iterable[tuple[str, str, str, str]]) -> list[dict[str, str]]:
    return [dict(zip(("key", "value", "default", "what"), row, strict=True)) for row in rows]


def _list(found: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("kind", "type", "what it promises", "extra"):
        table.add_column(column)
    for one in found:
        extra = one["extra"] or ""
        name = extra if one["installed"] else f"{extra}, not installed"
        table.add_row(one["kind"], one["type"], one["promise"], Text(name))
    return table


def _missing(found: Iterable[Mapping[str, Any]]) -> str:
    """Say in a line how to install all extras that are missing; empty if none is."""
    extras = sorted({one["extra"] for one in found if not one["installed"]})
    if not extras:
        return ""
    return f"\nnot installed: {', '.join(extras)}; to install: {install(','.join(extras))}\n"


def _show(one: Mapping[str, Any]) -> None:
    sys.stdout.write(f"{one['kind']} {one['type']}: {one['promise']}\n")
    if one["extra"]:
        missing = "" if one["installed"] else f", which is not installed here: {install(one['extra'])}"
        sys.stdout.write(f"  needs the extra `{one['extra']}`{missing}\n")
    _print(_settings_table(setting_rows(one["kind"], one["type"])))
    for title, what, rows in setting_groups(one["kind"], one["type"]):
        sys.stdout.write(f"\n  {title}: {_plain(what)}\n")
        _print(_settings_table(rows))
    if one["kind"] == "sink" and (bounds := BOUNDED.get(one["type"])):
        sys.stdout.write(
            f"\n  beside sink: timeout (30s) bounds {bounds};\n"
            "  batch, workers, retry, breaker and rate hold as for any call\n"
        )
    if one["example"]:
        sys.stdout.write("\n" + "".join(f"  {line}\n" for line in _example(one)))


def _settings_table(rows: Iterable[tuple[str, str, str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("setting", "value", "default", "what it is"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_plain(cell)) for cell in row))
    return table


def _plain(text: str) -> str:
    return text.replace("`", "").replace("\\|", "|")


def _example(one: Mapping[str, Any]) -> Iterator[str]:
    kind = one["kind"]
    yield "example:"
    yield "  read:" if kind == "source" else "  write:"
    yield f"    {kind}: {one['example']}"


def _print(table: Table) -> None:
    console = console_for(sys.stdout)
    with console.capture() as capture:
        console.print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))
