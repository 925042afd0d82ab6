"""Expression: a checked subset of Python over a record's fields, compiled once, run at native speed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from types import CodeType
from typing import Any

from rsq_pipe.errors import ExpressionError, MissingFieldError
from rsq_pipe.spec.expressions.compiler import GLOBALS, Compiler
from rsq_pipe.spec.expressions.explanation import explained, of_syntax, with_nulls
from rsq_pipe.spec.expressions.field_reads import field_reads
from rsq_pipe.spec.expressions.functions import FUNCTIONS
from rsq_pipe.spec.expressions.grammar import Grammar
from rsq_pipe.spec.expressions.growth import DATING
from rsq_pipe.spec.expressions.slips import word
from rsq_pipe.spec.expressions.syntax import parse
from rsq_pipe.suggestion import near

MAX_LENGTH = 4_000
MAX_DEPTH = 200  # levels of nesting; `a + b + c` has two
_NO_HEADERS = (
    "rid() and header() are known in `map`, `filter` and `route` only; make a field of them in a `map` above"
)
_TOO_DEEP = f"the expression is nested more than {MAX_DEPTH} levels deep; use a call stage"


@dataclass(frozen=True, slots=True)
class Expression:
    """
    Hold one compiled expression.

    Args:
        text: As the user wrote it.
        names: The fields it reads by name.
        timed: Whether it uses `now()`, which must be set for each record.
        headed: Whether it uses `rid()` or `header()`, which must be set, too.
        code: The compiled body; `evaluate` runs it.
        evaluate: Returns the value for a record; a plain function, so that a hot loop pays one call.
            It raises MissingFieldError for a missing field, otherwise Python's own errors.
    """

    text: str
    names: frozenset[str]
    timed: bool
    headed: bool
    code: CodeType = field(repr=False, compare=False)
    evaluate: Callable[[Mapping[str, Any]], Any] = field(repr=False, compare=False)

    def why(self, error: Exception) -> str:
        """Describe why `evaluate` has failed, in the terms of expressions."""
        return explained(error)

    def __reduce__(self) -> tuple[Callable[..., Expression], tuple[str, bool]]:
        return compile_expression, (self.text, self.headed)


def compile_expression(text: str, headed: bool = False) -> Expression:
    """
    Check and compile an expression.

    Args:
        text: Such as `sum(line['price'] * line['quantity'] for line in lines)`.
        headed: Whether it may use `rid()` and `header()`: the id and headers are set for each record.

    Raises:
        ExpressionError: It is not Python, or uses something that expressions must not; with the column.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the expression is longer than {MAX_LENGTH:,} characters; use a call stage")
    if "#" in text and "\n" in text.strip():
        raise ExpressionError("an expression of several lines cannot contain `#`; write it on one line")
    try:
        with warnings.catch_warnings():
            # Python warns of clear mistakes, such as `country is 'France'`.
            warnings.simplefilter("error")
            compiled = _compile(text)
    except SyntaxError as exc:
        raise ExpressionError(f"not an expression: {of_syntax(exc.msg)}", column=exc.offset or 1) from exc
    except (RecursionError, MemoryError) as exc:
        raise ExpressionError(_TOO_DEEP) from exc
    if compiled.headed and not headed:
        raise ExpressionError(_NO_HEADERS)
    return compiled


def _compile(text: str) -> Expression:
    tree = parse(text)
    _check_depth(tree)
    Grammar().visit(tree)
    if isinstance(tree.body, ast.GeneratorExp):
        raise ExpressionError("a bare `... for ...` gives no value; put it in [ ] or in sum(), any(), list()")
    if isinstance(tree.body, ast.Tuple) and not text.lstrip().startswith("("):
        raise ExpressionError(
            "a bare comma makes a list of what it parts; write a number without it (1000), and a list in [ ]",
            column=tree.body.col_offset + 1,
        )
    _check_words(tree)
    compiler = Compiler()
    body = compiler.compile(tree)
    return _assemble(text, body, compiler)


def _check_words(tree: ast.Expression) -> None:
    """Refuse words of YAML and JSON that would be read as the names of fields."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and word(node.id)]
    variables = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    for node in names:
        if node.id not in variables:
            message = f"{node.id!r} would be a field; write `{word(node.id)}`"
            raise ExpressionError(message, column=node.col_offset + 1)


def _check_depth(tree: ast.AST) -> None:
    """Refuse deep nesting by a limit of our own: another library may have changed Python's."""
    level: list[ast.AST] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    raise ExpressionError(_TOO_DEEP)


_SHELL = """
def evaluate(__record):
    try:
        return None
    except __KeyError as __error:
        raise __missing(__error, __record) from None
    except __TypeError as __error:
        raise __with_nulls(__error, __record) from None
"""


_LEDGER = "__spent = [0]"


def _assemble(text: str, body: ast.expr, compiler: Compiler) -> Expression:
    """Put the body into a function, so that a record's value costs one call and no dict of globals."""
    names = frozenset(compiler.fields)
    module = ast.parse(_SHELL)
    function = module.body[0]
    assert isinstance(function, ast.FunctionDef)
    assert isinstance(function.body[0], ast.Try)
    function.body[0].body = [ast.Return(body)]
    if compiler.spends:
        function.body.insert(0, *ast.parse(_LEDGER).body)
    scope = {
        **GLOBALS,
        **compiler.patterns,
        "__KeyError": KeyError,
        "__missing": partial(_missing, text, names),
        "__TypeError": TypeError,
        "__with_nulls": partial(with_nulls, names),
    }
    exec(compile(ast.fix_missing_locations(module), f"<expression {text}>", "exec"), scope)  # noqa: S102
    evaluate = scope["evaluate"]
    return Expression(text, names, compiler.timed, compiler.headed, evaluate.__code__, evaluate)


def _missing(text: str, names: frozenset[str], error: KeyError, record: Mapping[str, Any]) -> Exception:
    """Distinguish a missing field from a key that is missing further inside."""
    name = error.args[0] if error.args else None
    if name in names and name not in record:
        hint = _hint(text, name, tuple(record)) if sum(map(len, record)) <= MAX_LENGTH else ""
        return MissingFieldError(f"field {name!r} is not in the record{hint}", field=str(name))
    return error


@lru_cache(maxsize=256)
def _hint(text: str, name: str, fields: tuple[str, ...]) -> str:
    """Suggest a similar field; cached, since records that fail alike have the same fields."""
    if name in FUNCTIONS or name in DATING:
        return f"; write {name}() if the function is meant"
    if meant := near(name, fields):
        return f"; did you mean {meant!r}?"
    compared = any(read.compared and read.name == name for read in field_reads(text))
    return f"; write {name!r}, in quotes, for text" if compared else ""
