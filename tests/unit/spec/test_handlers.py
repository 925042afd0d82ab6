"""Handlers are imported before a record meets them, and what is wrong is told with the user's own line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rsq_pipe.errors import HandlerNotFoundError
from rsq_pipe.spec.handlers import check_handler, parse_handler

GOOD = "def price(order):\n    return order\n"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A project root; the import path and the modules are put back afterwards."""
    path, modules = sys.path[:], set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("spec_test_"):
            del sys.modules[name]


def problem(root: Path, text: str, code: str | None = None) -> str:
    if code is not None:
        (root / f"{parse_handler(text).module}.py").write_text(code)
    with pytest.raises(HandlerNotFoundError) as raised:
        check_handler(parse_handler(text), root)
    return str(raised.value)


def test_a_good_handler_is_imported_from_the_root(root: Path) -> None:
    (root / "spec_test_a.py").write_text(GOOD)

    assert check_handler(parse_handler("spec_test_a:price"), root) == ""


def test_what_a_module_prints_is_held_back_and_returned(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "spec_test_b.py").write_text(f"print('loading')\n{GOOD}")

    printed = check_handler(parse_handler("spec_test_b:price"), root)

    assert printed == "loading\n"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("c", "import sys\n\nsys.exit(3)\n", "SystemExit: 3 (spec_test_c.py:3)"),
        ("d", "x = 1\ny = x / 0\n", "ZeroDivisionError: division by zero (spec_test_d.py:2)"),
        ("e", "def price(order)\n    return order\n", "expected ':' (spec_test_e.py:1)"),
        (
            "f",
            "import no_such_library\n",
            "needs 'no_such_library', which is not installed (spec_test_f.py:1)",
        ),
        ("g", "from os import no_such_name\n", "ImportError: cannot import name 'no_such_name'"),
        ("h", "class Odd(BaseException): pass\nraise Odd\n", "Odd:  (spec_test_h.py:2)"),
    ],
    ids=["exits", "raises", "is not Python", "lacks a library", "lacks a name", "raises anything"],
)
def test_a_module_that_fails_is_told_with_its_own_line(root: Path, name: str, code: str, words: str) -> None:
    assert words in problem(root, f"spec_test_{name}:price", code)


def test_a_failure_deeper_inside_names_the_users_last_line(root: Path) -> None:
    (root / "spec_test_inner.py").write_text("import json\n\njson.loads('{')\n")

    assert "(spec_test_inner.py:3)" in problem(root, "spec_test_i:price", "import spec_test_inner\n")


def test_a_missing_module_is_answered_with_the_nearest(root: Path) -> None:
    (root / "spec_test_orders.py").write_text(GOOD)

    assert "did you mean 'spec_test_orders'?" in problem(root, "spec_test_ordres:price")


def test_a_missing_function_is_answered_with_the_nearest(root: Path) -> None:
    assert "did you mean 'price'?" in problem(root, "spec_test_j:prise", GOOD)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("k", "def price(): pass\n", "takes no record"),
        ("l", "def price(a, b, c): pass\n", "takes 3 parameters (a, b, c)"),
        ("m", "def price(a, *, tax): pass\n", "takes 'tax' by keyword only"),
        ("n", "price = 3\n", "is not a function"),
        ("o", "def price(a):\n    yield a\n", "yields"),
    ],
)
def test_a_handler_that_cannot_be_called_with_a_record_is_refused(
    root: Path, name: str, code: str, words: str
) -> None:
    assert words in problem(root, f"spec_test_{name}:price", code)


def test_two_projects_may_have_modules_of_one_name(root: Path) -> None:
    for project, function in (("one", "first"), ("two", "second")):
        (root / project).mkdir()
        (root / project / "spec_test_same.py").write_text(f"def {function}(order): return order\n")

    assert check_handler(parse_handler("spec_test_same:first"), root / "one") == ""
    assert check_handler(parse_handler("spec_test_same:second"), root / "two") == ""


@pytest.mark.parametrize("text", ["handlers", "handlers:", ":price", "a:b.c", "a b:c", "a:b:c", "1a:b"])
def test_a_handler_is_written_module_colon_function(text: str) -> None:
    with pytest.raises(ValueError, match="write module:function"):
        parse_handler(text)
