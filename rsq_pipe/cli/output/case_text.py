"""Case text: the result of a pipeline test as text, as JSON, and as JUnit XML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from rich.text import Text

from rsq_pipe.cli.output.difference import spelled
from rsq_pipe.cli.output.printable import escaped, on_one_line
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.testing.cases.comparing import NO_VALUE, Difference, Mismatch
from rsq_pipe.testing.cases.results import CaseResult

_SLOW = 0.5
"""Seconds from which the duration of a test is shown."""

NOTHING_EXPECTED = "it does not say what it expects; `rsq-pipe test --update` writes down what happens"

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def lines(result: CaseResult) -> Iterator[Text]:
    """Format a test: one line if it passed, otherwise each failed expectation with its place."""
    case = result.case
    name = on_one_line(case.name)
    took = f"  {result.seconds:.1f}s" if result.seconds >= _SLOW else ""
    if result.is_passed:
        yield Text.assemble(("  ok    ", "green"), name, (took, "dim"))
        return
    yield Text.assemble(("  FAIL  ", "bold red"), (name, "bold"), (took, "dim"))
    place = where(case.document, case.path)
    if result.error:
        yield Text.assemble("        ", (f"{place}: ", "dim"), (on_one_line(result.error), "red"))
    elif case.test.expect is None:
        yield Text.assemble("        ", (f"{place}: ", "dim"), NOTHING_EXPECTED)
    for mismatch in result.mismatches:
        yield from _mismatch(case.document, mismatch)


def _mismatch(document: Document, found: Mismatch) -> Iterator[Text]:
    head = Text.assemble("        ", (f"{where(document, found.path)}: ", "dim"), on_one_line(found.what))
    match found.kind:
        case "missing":
            yield head.append(" did not come")
            yield Text(f"          - {_value(found.expected)}", style="red")
        case "unexpected":
            yield head.append(" is not expected")
            yield Text(f"          + {_value(found.actual)}", style="green")
        case "changed":
            yield head.append(" came otherwise")
            for field in found.fields:
                yield from _field(field)
        case _:
            expected, actual = on_one_line(str(found.expected)), on_one_line(str(found.actual))
            yield head.append(f": expected {expected}, got {actual}{_unsaid(document, found)}")


def _unsaid(document: Document, found: Mismatch) -> str:
    """Say what to add where records were dropped and the test does not mention it; empty otherwise."""
    if found.what != "dropped" or found.path in document.values:
        return ""
    return f"; if that is right, add `dropped: {str(found.actual).partition(' ')[0]}` to `expect`"


def _field(field: Difference) -> Iterator[Text]:
    path = on_one_line(field.path)
    if field.expected is not NO_VALUE:
        yield Text(f"          - {path}: {_value(field.expected)}", style="red")
    if field.actual is not NO_VALUE:
        yield Text(f"          + {path}: {_value(field.actual)}", style="green")


def where(document: Document, path: Path_) -> str:
    """Format the place of a path as editors and terminals understand it: `orders_test.yaml:12:9`."""
    for length in range(len(path), 0, -1):
        place = document.keys.get(path[:length]) or document.values.get(path[:length])
        if place:
            return f"{on_one_line(document.file)}:{place.line}:{place.column}"
    return f"{on_one_line(document.file)}:1:1"


def described(result: CaseResult) -> dict[str, Any]:
    """Return the keys of `--json`, which stay the same from one release to the next."""
    case = result.case
    return {
        "file": case.document.file,
        "test": case.name,
        "line": case.place.line,
        "outcome": "passed" if result.is_passed else "failed",
        "error": result.error or (NOTHING_EXPECTED if case.test.expect is None else ""),
        "ms": round(result.seconds * 1000, 1),
        "mismatches": [
            {
                "at": where(case.document, found.path),
                "what": found.what,
                "kind": found.kind,
                "expected": found.expected,
                "actual": found.actual,
                "fields": [
                    {
                        "path": field.path,
                        **({} if field.expected is NO_VALUE else {"expected": field.expected}),
                        **({} if field.actual is NO_VALUE else {"actual": field.actual}),
                    }
                    for field in found.fields
                ],
            }
            for found in result.mismatches
        ],
    }


def _value(value: Any) -> str:
    # The record belongs to the user and stays whole; unprintable characters are escaped.
    return escaped(spelled(value)).replace("\n", "\\n")


def junit(results: Mapping[Path, Sequence[CaseResult]]) -> str:
    """Build the XML for continuous integration: one suite per file."""
    parts = ['<?xml version="1.0" encoding="utf-8"?>', "<testsuites>"]
    for file, found in results.items():
        failures = sum(not result.is_passed for result in found)
        seconds = sum(result.seconds for result in found)
        head = f'tests="{len(found)}" failures="{failures}" errors="0" time="{seconds:.3f}"'
        parts.append(f"  <testsuite name={_quoted(str(file))} {head}>")
        parts += [_testcase(file, result) for result in found]
        parts.append("  </testsuite>")
    return "\n".join([*parts, "</testsuites>", ""])


def _testcase(file: Path, result: CaseResult) -> str:
    place = f'file={_quoted(str(file))} line="{result.case.place.line}" time="{result.seconds:.3f}"'
    name = f"name={_quoted(result.case.name)} classname={_quoted(file.name.partition('.')[0])}"
    if result.is_passed:
        return f"    <testcase {name} {place}/>"
    _, *why = [line.plain for line in lines(result)]
    first = why[0].strip() if why else "failed"
    body = escape(_NOT_XML.sub("?", "\n".join(why)))
    return (
        f"    <testcase {name} {place}>\n"
        f"      <failure message={_quoted(first)}>{body}</failure>\n"
        f"    </testcase>"
    )


def _quoted(text: str) -> str:
    return quoteattr(_NOT_XML.sub("?", text))
