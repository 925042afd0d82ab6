"""What is counted is listed in one place, and so is what of it tells how much is done."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import rsq_pipe
from rsq_pipe.model.counters import COUNTED, finished

PACKAGE = Path(rsq_pipe.__file__).parent


@pytest.mark.parametrize(("is_source", "done"), [(True, 7), (False, 8)])
def test_a_record_is_done_with_once_however_many_attempts_it_took(is_source: bool, done: int) -> None:
    counted = {"in": 10, "out": 6, "retried": 2, "dead": 1}

    assert finished(counted.__getitem__, is_source=is_source) == done


def test_no_other_file_lists_the_counters() -> None:
    listing = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Tuple | ast.List | ast.Set)
        and tuple(one.value for one in node.elts if isinstance(one, ast.Constant)) == COUNTED
    ]

    assert listing == ["model/counters.py"]
