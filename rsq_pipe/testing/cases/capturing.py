"""Capturing: writes a record of a real run as a test."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from msgspec import Struct, field
from yamlcore import CCoreLoader

from rsq_pipe.redaction import MASK, redact
from rsq_pipe.spec.expressions.field_path import FieldPath, spell_path
from rsq_pipe.testing.cases.yaml_text import block

HEAD = """\
# Tests of {spec}: `rsq-pipe test {spec}`.

tests:
"""
_SECRET = re.compile(r"(?i)(^|[_-])(password|passwd|secret|token|api_?key|authorization)$")
_LONGEST_NAME = 80


class Captured(Struct, frozen=True):
    """
    Hold a record as it came to a stage.

    Args:
        record: The record.
        stage: The stage that handles it; empty if it comes from a source, and all stages handle it.
        stream: The stream it came by, if that has to be given.
        headers: Its own headers.
        rid: Its id, for the comment.
        expect: What became of it; None to find out.
        why: A short description of what it tests.
    """

    record: dict[str, Any]
    stage: str = ""
    stream: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    rid: str = ""
    expect: Mapping[str, Any] | None = None
    why: str = ""


def masked(record: dict[str, Any], paths: Sequence[FieldPath]) -> tuple[dict[str, Any], list[str]]:
    """
    Mask the given fields, those named like a secret, and known secrets, wherever they are.

    Returns:
        The record, and the fields that were changed.
    """
    changed: list[str] = []
    found: dict[str, Any] = _masked(record, (), [tuple(path) for path in paths], changed)
    return found, changed


def _masked(value: Any, at: FieldPath, paths: Sequence[FieldPath], changed: list[str]) -> Any:
    if at in paths or (at and _SECRET.search(at[-1]) and not isinstance(value, dict | list)):
        if value is None:
            return None  # it reveals nothing, and may be why the record fails
        changed.append(spell_path(at))
        return type(value)() if isinstance(value, bool | int | float) else MASK
    if isinstance(value, dict):
        return {name: _masked(inner, (*at, name), paths, changed) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, at, [path for path in paths if path != at], changed) for inner in value]
    if isinstance(value, str) and (text := redact(value)) != value:
        changed.append(spell_path(at))
        return text
    return value


def appended(text: str, spec: str, name: str, captured: Captured) -> tuple[str, str]:
    """
    Add a test at the end of a file.

    Args:
        text: The file's text; empty if there is no file.
        spec: The pipeline file, for the header of a new file.
        name: The name of the test; empty for one that describes the result.
        captured: The record.

    Returns:
        The file's new text, and the name of the test.

    Raises:
        ValueError: The file is written in a form to which a test cannot be added.
    """
    text = text or HEAD.format(spec=spec if spec.isprintable() else "the pipeline")
    tests = next(
        (node for key, node in _entries(yaml.compose(text, Loader=CCoreLoader)) if key == "tests"), None
    )
    names = [key for key, _ in _entries(tests)]
    if tests is not None and isinstance(tests, yaml.CollectionNode) and tests.flow_style:
        raise ValueError("its tests are written in braces; write them in lines")
    indent = tests.value[0][0].start_mark.column if isinstance(tests, yaml.MappingNode) and tests.value else 2
    chosen = _unused(name or _name_of(captured), names)
    lines = list(_lines(chosen, captured, indent))
    kept = text.split("\n")
    at = _behind(tests, kept) if names else _behind_key(text)
    new = [*kept[:at], *([""] if names and kept[at - 1].strip() else []), *lines, *kept[at:]]
    return "\n".join(new).rstrip("\n") + "\n", chosen


def _lines(name: str, captured: Captured, indent: int) -> Iterator[str]:
    given: Any = [captured.record]
    if captured.stream:
        given = {captured.stream: given}
    test: dict[str, Any] = {"stage": captured.stage} if captured.stage else {}
    test["given"] = given
    if captured.headers:
        test["headers"] = dict(captured.headers)
    if captured.expect is not None:
        test["expect"] = dict(captured.expect)
    head, *_ = block({name: {}}, indent)
    is_plain = captured.rid.isprintable()  # records pushed from outside may have any id
    yield head.removesuffix(" {}") + (f"   # {captured.rid}" if captured.rid and is_plain else "")
    for key, value in test.items():
        if key == "expect" and value:
            yield f"{' ' * (indent + 2)}expect:"
            yield from block(value, indent + 4)
        else:
            yield from block({key: value}, indent + 2)


def _behind(tests: Any, lines: Sequence[str]) -> int:
    """Find the line after the last test and its comments."""
    at = int(tests.end_mark.line)
    if tests.end_mark.column:
        at += 1
    while at > 0 and not (lines[at - 1].strip()):
        at -= 1
    return at


def _behind_key(text: str) -> int:
    root = yaml.compose(text, Loader=CCoreLoader)
    for key, _ in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "tests":
            return int(key.start_mark.line) + 1
    raise ValueError("it has no `tests:`; add that")


def _entries(node: Any) -> list[tuple[str, Any]]:
    return [(key.value, value) for key, value in node.value] if isinstance(node, yaml.MappingNode) else []


def _unused(name: str, names: Sequence[str]) -> str:
    number, chosen = 1, name
    while chosen in names:
        number += 1
        chosen = f"{name} ({number})"
    return chosen


def _name_of(captured: Captured) -> str:
    text = " ".join(f"{captured.stage} - {captured.why}".split() if captured.stage else captured.why.split())
    text = text.replace(": ", " - ")  # a key without quotes
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 3]}..."
