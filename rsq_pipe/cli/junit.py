"""JUnit: how tests went, as the XML that continuous integration reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from rsq_pipe.cli.case_text import lines
from rsq_pipe.testing.cases.results import CaseResult

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(results: Mapping[Path, Sequence[CaseResult]]) -> str:
    """Write a suite a file."""
    parts = ['<?xml version="1.0" encoding="utf-8"?>', "<testsuites>"]
    for file, found in results.items():
        failures = sum(not result.is_passed for result in found)
        seconds = sum(result.seconds for result in found)
        head = f'tests="{len(found)}" failures="{failures}" errors="0" time="{seconds:.3f}"'
        parts.append(f"  <testsuite name={_quoted(str(file))} {head}>")
        parts += [_case(file, result) for result in found]
        parts.append("  </testsuite>")
    return "\n".join([*parts, "</testsuites>", ""])


def _case(file: Path, result: CaseResult) -> str:
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
