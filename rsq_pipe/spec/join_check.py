"""Join check: find keys of a `join` that no record of a side has, or that are text on one side only."""

from __future__ import annotations

from collections.abc import Sequence

from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.expressions.field_path import FieldPath
from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.known_fields import Known
from rsq_pipe.spec.problem import Severity
from rsq_pipe.spec.stages.join import SIDES
from rsq_pipe.suggestion import suggest


def report_keys(document: Document, stage: Stage, inputs: Sequence[Known | None]) -> None:
    """
    Report keys with which records fail, or find no other.

    Args:
        stage: A join.
        inputs: What is known about the records of its sides.
    """
    path = ("stages", stage.name, stage.verb, "on")
    left, right = stage.options.left.fields, stage.options.right.fields
    for side, known, fields in zip(SIDES, inputs, (left, right), strict=True):
        for field in fields:
            _check_there(document, path, side, known, field)
    for pair in zip(left, right, strict=False):  # an expression has no fields
        _check_types(document, path, inputs, pair)


def _check_there(document: Document, path: Path_, side: str, known: Known | None, field: FieldPath) -> None:
    if known is None or known.has(field[0]):
        return
    what = f"no record of the side {side!r} has a field {field[0]!r}, by {known.origin}"
    severity: Severity = "error" if known.firm else "warning"
    document.report(path, what, suggest(field[0], known.fields), severity=severity, part=side)


def _check_types(
    document: Document, path: Path_, inputs: Sequence[Known | None], pair: Sequence[FieldPath]
) -> None:
    """Warn if one side has text that looks like numbers, and the other is not known to have text."""
    sides = list(zip(SIDES, inputs, pair, strict=True))
    of_text = [one for one in sides if one[1] and len(one[2]) == 1 and one[2][0] in one[1].text]
    if len(of_text) != 1:
        return
    side, known, (name, *_) = of_text[0]
    if known is not None and known.text[name] in ("int", "float"):
        what = f"{name!r} is text on the side {side!r}, by {known.says_text(name)}: '5' is another key than 5"
        fix = f"{known.typing(name)}, or `{name}: str` if the other side has text, too"
        document.report(path, what, fix, severity="warning")
