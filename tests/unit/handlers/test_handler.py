from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.errors import HandlerContractError, HandlerNotFoundError
from rsq_pipe.handlers.batch_handler import batch_handler
from rsq_pipe.handlers.handler import describe, resolve
from rsq_pipe.verbs.context import Context


def plain(record: dict[str, Any]) -> None: ...
def with_context(record: dict[str, Any], ctx: Context) -> None: ...
def with_optional_context(record: dict[str, Any], ctx: Context | None = None) -> None: ...
def with_setting(record: dict[str, Any], rate: float = 0.1) -> None: ...
def with_anything(*args: Any) -> None: ...
def with_three(record: Any, ctx: Any, rate: float) -> None: ...
def with_keyword(record: Any, *, ctx: Any) -> None: ...
def with_optional_keyword(record: Any, *, ctx: Any = None) -> None: ...
def without() -> None: ...
async def asynchronous(record: dict[str, Any]) -> None: ...


def generator(record: Any) -> Any:
    yield record


async def async_generator(record: Any) -> Any:
    yield record


@batch_handler
def batch(records: list[dict[str, Any]]) -> list[None]:
    return [None for _ in records]


@batch_handler
def batch_of_dict(records: dict[str, Any]) -> list[None]:
    return []


@pytest.mark.parametrize(
    ("function", "takes_context"),
    [(plain, False), (with_context, True), (with_optional_context, True), (with_setting, False)],
)
def test_a_second_parameter_is_the_context_if_it_is_required_or_named_so(
    function: Any, takes_context: bool
) -> None:
    assert describe(function).takes_context is takes_context


def test_a_description_says_per_batch_and_async() -> None:
    assert (describe(plain).batch, describe(batch).batch) == (False, True)
    assert (describe(plain).is_async, describe(asynchronous).is_async) == (False, True)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (without, "takes no record"),
        (with_anything, "takes no record"),
        (with_three, r"takes 3 parameters \(record, ctx, rate\).*ctx\.values"),
        (with_keyword, "'ctx' by keyword only; make `ctx` the second parameter"),
        (with_optional_keyword, "by keyword only"),
        (generator, "yields; a handler returns"),
        (async_generator, "yields; a handler returns"),
        (batch_of_dict, r"a batch handler takes a list, not dict.*list\[dict\]"),
        (Path, "is not a function"),
        ("text", "is not a function"),
        (None, "is not a function"),
    ],
)
def test_what_cannot_be_a_handler_is_refused_with_the_fix(function: Any, said: str) -> None:
    with pytest.raises(HandlerContractError, match=said):
        describe(function)


def project(root: Path, **modules: str) -> Path:
    root.mkdir(exist_ok=True)
    for name, text in modules.items():
        (root / f"{name}.py").write_text(text)
    return root


def test_a_handler_is_found_from_the_project_root(tmp_path: Path) -> None:
    root = project(tmp_path, found_here="def price(order): return order\n")

    handler = resolve("found_here", "price", root)

    assert handler.name == "found_here:price"
    assert handler.function({"n": 1}) == {"n": 1}


def test_two_projects_may_have_modules_of_one_name(tmp_path: Path) -> None:
    text = "import twin_rates\ndef price(order): return twin_rates.RATE\n"
    one = project(tmp_path / "one", twin_handlers=text, twin_rates="RATE = 1")
    two = project(tmp_path / "two", twin_handlers=text, twin_rates="RATE = 2")

    assert [resolve("twin_handlers", "price", root).function({}) for root in (one, two, one)] == [1, 2, 1]


def test_a_module_is_imported_once(tmp_path: Path) -> None:
    root = project(tmp_path, once="def price(order): ...\ndef route(order): ...\n")

    price, route = resolve("once", "price", root), resolve("once", "route", root)

    assert price.function.__globals__ is route.function.__globals__


def test_a_near_miss_is_suggested(tmp_path: Path) -> None:
    root = project(tmp_path, near_miss="def enrich(order): ...\n")

    with pytest.raises(
        HandlerNotFoundError, match=r"'enrch' is not in module 'near_miss'; did you mean 'enrich'\?"
    ):
        resolve("near_miss", "enrch", root)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no module 'broken_module' in "),
        ("import not_installed_anywhere", "needs 'not_installed_anywhere', which is not installed"),
        ("def price(order:\n", r"was never closed \(broken_module.py:1\); correct the module"),
        ("raise ValueError('no table')", "fails when it is imported: ValueError: no table"),
        ("raise SystemExit(3)", r"fails when it is imported: SystemExit: 3 \(broken_module.py:1\)"),
    ],
)
def test_a_module_that_does_not_import_is_an_error_that_says_why(
    tmp_path: Path, text: str | None, said: str
) -> None:
    root = project(tmp_path) if text is None else project(tmp_path, broken_module=text)

    with pytest.raises(HandlerNotFoundError, match=said):
        resolve("broken_module", "price", root)


def test_describing_a_handler_imports_neither_redis_nor_opentelemetry_nor_structlog() -> None:
    script = (
        "import sys, rsq_pipe.handlers.handler\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*sorted(loaded & {'redis', 'opentelemetry', 'structlog'}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True, env=os.environ
    )

    assert ran.stdout.split() == []
