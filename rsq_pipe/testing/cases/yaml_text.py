"""YAML text: formats values as a person would write them in a test file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from yamlcore import CCoreDumper

LONGEST = 110
"""Maximum characters of a record on one line."""


def flow(value: Any) -> str:
    """Format a value on one line."""
    text = yaml.dump(
        value,
        Dumper=CCoreDumper,
        default_flow_style=True,
        width=2**31 - 1,
        sort_keys=False,
        allow_unicode=True,
    )
    return text.removesuffix("\n").removesuffix("\n...")


def item(value: Any, indent: int) -> list[str]:
    """Format an item of a list: on one line if there is room, otherwise one field per line."""
    short = f"{' ' * indent}- {flow(value)}"
    if not isinstance(value, dict) or not value or len(short) <= LONGEST:
        return [short]
    first, *others = list(_fields(value, indent + 2))
    return [f"{' ' * indent}- {first.lstrip()}", *others]


def entry(key: str, value: Any, indent: int) -> list[str]:
    """Format a key and its value; a list of records takes one line per record."""
    pad = f"{' ' * indent}{flow(key)}:"
    if isinstance(value, dict) and value and len(f"{pad} {flow(value)}") > LONGEST:
        return [pad, *_fields(value, indent + 2)]
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return [pad, *(line for one in value for line in item(one, indent + 2))]
    return [f"{pad} {flow(value)}"]


def block(values: Mapping[str, Any], indent: int) -> list[str]:
    """Format a mapping, one entry after another."""
    return [line for key, value in values.items() for line in entry(key, value, indent)]


def _fields(values: Mapping[str, Any], indent: int) -> Iterator[str]:
    for key, value in values.items():
        yield from entry(key, value, indent)
