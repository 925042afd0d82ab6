"""JUnit: how tests went, as the XML that continuous integration reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from rsq_pipe.cli.case_text import lines
from rsq_pipe.testing.cases.judging import Verdict

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(verdicts: Mapping[Path, Sequence[Verdict]]) -> str:
    """Write a suite a file."""
    parts = ['<?xml version="1.0" encoding="utf-8"?>', "<testsuites>"]
    for file, found in verdicts.items():
        failures = sum(not verdict.is_passed for verdict in found)
        seconds = sum(verdict.seconds for verdict in found)
        head = f'tests="{len(found)}" failures="{failures}" errors="0" time="{seconds:.3f}"'
        parts.append(f"  <testsuite name={_quoted(str(file))} {head}>")
        parts += [_case(file, verdict) for verdict in found]
        parts.append("  </testsuite>")
    return "\n".join([*parts, "</testsuites>", ""])


def _case(file: Path, verdict: Verdict) -> str:
    place = f'file={_quoted(str(file))} line="{verdict.case.place.line}" time="{verdict.seconds:.3f}"'
    name = f"name={_quoted(verdict.case.name)} classname={_quoted(file.name.partition('.')[0])}"
    if verdict.is_passed:
        return f"    <testcase {name} {place}/>"
    _, *why = [line.plain for line in lines(verdict)]
    first = why[0].strip() if why else "failed"
    body = escape(_NOT_XML.sub("?", "\n".join(why)))
    return (
        f"    <testcase {name} {place}>\n"
        f"      <failure message={_quoted(first)}>{body}</failure>\n"
        f"    </testcase>"
    )


def _quoted(text: str) -> str:
    return quoteattr(_NOT_XML.sub("?", text))
