"""Expression: a checked subset of Python over a record's fields, compiled once, run at native speed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import CodeType
from typing import Any, TypeAlias

from rsq_pipe.errors import ExpressionError, MissingFieldError
from rsq_pipe.spec.functions import FUNCTIONS, TooLargeError, modulo, power, times
from rsq_pipe.spec.grammar import MODEL, WHOLE_RECORD, Grammar

MAX_LENGTH = 4_000
MAX_DEPTH = 200  # levels of nesting; `a + b + c` has two
_TOO_DEEP = f"the expression is nested more than {MAX_DEPTH} levels deep; use a call stage"

_GUARDS = {ast.Mult: ("__times", times), ast.Pow: ("__power", power), ast.Mod: ("__modulo", modulo)}

_Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True, slots=True)
class Expression:
    """
    Hold one compiled expression.

    Args:
        text: As the user wrote it.
        names: The fields it reads by name.
        code: The compiled body; `evaluate` runs it.
        evaluate: Give the value for a record; a plain function, so that a hot loop pays one call.
            It raises MissingFieldError for a field that is not there, and Python's own errors else.
    """

    text: str
    names: frozenset[str]
    code: CodeType = field(repr=False, compare=False)
    evaluate: Callable[[Mapping[str, Any]], Any] = field(repr=False, compare=False)

    def __reduce__(self) -> tuple[Callable[[str], Expression], tuple[str]]:
        return compile_expression, (self.text,)


def compile_expression(text: str) -> Expression:
    """
    Check and compile an expression.

    Args:
        text: Such as `sum(line['price'] * line['quantity'] for line in lines)`.

    Raises:
        ExpressionError: It is not Python, or does what an expression may not; with the column.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the expression is longer than {MAX_LENGTH:,} characters; use a call stage")
    if "#" in text and "\n" in text.strip():
        raise ExpressionError("a `#` cannot stand in an expression of several lines; write it on one line")
    try:
        with warnings.catch_warnings():
            # Python warns of what can only be a mistake, such as `country is 'France'`.
            warnings.simplefilter("error")
            return _compile(text)
    except SyntaxError as exc:
        raise ExpressionError(f"not an expression: {exc.msg}", column=exc.offset or 1) from exc
    except (RecursionError, MemoryError) as exc:
        raise ExpressionError(_TOO_DEEP) from exc


def _compile(text: str) -> Expression:
    tree = _parse(text)
    _check_depth(tree)
    Grammar(MODEL).visit(tree)
    if isinstance(tree.body, ast.GeneratorExp):
        raise ExpressionError("a bare `... for ...` gives no value; put it in [ ] or in sum(), any(), list()")
    compiler = _Compiler()
    body = compiler.visit(tree.body)
    return _assemble(text, body, frozenset(compiler.fields))


def _parse(text: str) -> ast.Expression:
    # Leading space is an "unexpected indent" to Python; its width is given back to the column.
    indent = len(text) - len(text.lstrip())
    try:
        tree = ast.parse(text.strip().replace("\n", " "), "<expression>", "eval")
    except SyntaxError as exc:
        # Python gives no offset where the text ends too early.
        column = (exc.offset or len(text.strip()) + 1) + indent
        fix = "; compare with `==`" if text[column - 1 : column] == "=" else ""
        raise ExpressionError(f"not an expression: {exc.msg} at column {column}{fix}", column=column) from exc
    except ValueError as exc:
        raise ExpressionError(f"not an expression: {exc}") from exc
    for node in ast.walk(tree):
        if indent and isinstance(node, ast.expr):
            node.col_offset += indent
    return tree


def _check_depth(tree: ast.AST) -> None:
    """Refuse deep nesting by a bound of our own: Python's limit is whatever another library made it."""
    level: list[ast.AST] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    raise ExpressionError(_TOO_DEEP)


class _Compiler(ast.NodeTransformer):
    """
    Turn names into `__record['name']`, and operators that can build huge values into guarded calls.

    Names are resolved here rather than by eval()'s scopes: before Python 3.12 a comprehension does not
    see eval's locals, and a field named like a function must neither hide it nor be hidden by it.
    """

    def __init__(self) -> None:
        self.fields: set[str] = set()
        self._loop_names: list[set[str]] = []

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Store) or any(node.id in names for names in self._loop_names):
            return node
        record = ast.Name("__record", ast.Load())
        if node.id == WHOLE_RECORD:
            return ast.copy_location(record, node)
        self.fields.add(node.id)
        return ast.copy_location(ast.Subscript(record, ast.Constant(node.id), ast.Load()), node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        node.func = (
            ast.Name(_function_name(node.func.id), ast.Load())
            if isinstance(node.func, ast.Name)
            else node.func
        )
        node.args = [self.visit(argument) for argument in node.args]
        node.keywords = [ast.keyword(keyword.arg, self.visit(keyword.value)) for keyword in node.keywords]
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        node.left, node.right = self.visit(node.left), self.visit(node.right)
        if type(node.op) not in _GUARDS or _is_float(node.left) or _is_float(node.right):
            return node
        name, guarded = _GUARDS[type(node.op)]
        if isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant):
            return _fold(node, guarded, node.left.value, node.right.value)
        return ast.copy_location(ast.Call(ast.Name(name, ast.Load()), [node.left, node.right], []), node)

    def visit_ListComp(self, node: ast.ListComp) -> ast.expr:
        return self._visit_comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.expr:
        return self._visit_comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.expr:
        return self._visit_comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.expr:
        return self._visit_comprehension(node)

    def _visit_comprehension(self, node: _Comprehension) -> ast.expr:
        names: set[str] = set()
        self._loop_names.append(names)
        for generator in node.generators:
            generator.iter = self.visit(generator.iter)
            names.update(n.id for n in ast.walk(generator.target) if isinstance(n, ast.Name))
            generator.ifs = [self.visit(condition) for condition in generator.ifs]
        for part in ("key", "value", "elt"):
            if hasattr(node, part):
                setattr(node, part, self.visit(getattr(node, part)))
        self._loop_names.pop()
        return node


def _is_float(node: ast.expr) -> bool:
    """Tell whether a value can only be a float: then no guard is needed, as nothing repeats 1.5 times."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Div)
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


def _fold(node: ast.BinOp, guarded: Callable[[Any, Any], Any], left: Any, right: Any) -> ast.expr:
    try:
        return ast.copy_location(ast.Constant(guarded(left, right)), node)
    except TooLargeError as exc:
        column = node.col_offset + 1
        raise ExpressionError(f"{exc}, at column {column}", column=column) from exc
    except (TypeError, ArithmeticError) as exc:
        column = node.col_offset + 1
        raise ExpressionError(f"this can only fail: {exc}, at column {column}", column=column) from exc


def _function_name(name: str) -> str:
    return f"__call_{name}"


# A user cannot write names that start with two underscores, so these cannot be reached or hidden.
_GLOBALS: dict[str, Any] = {
    "__builtins__": {},
    **{_function_name(name): function for name, function in FUNCTIONS.items()},
    **dict(_GUARDS.values()),
}


_SHELL = """
def evaluate(__record):
    try:
        return None
    except __KeyError as __error:
        raise __missing(__error, __record) from None
"""


def _assemble(text: str, body: ast.expr, names: frozenset[str]) -> Expression:
    """Put the body into a function, so that a record's value costs one call and no dict of globals."""
    module = ast.parse(_SHELL)
    function = module.body[0]
    assert isinstance(function, ast.FunctionDef)
    assert isinstance(function.body[0], ast.Try)
    function.body[0].body = [ast.Return(body)]
    scope = {**_GLOBALS, "__KeyError": KeyError, "__missing": partial(_missing, names)}
    exec(compile(ast.fix_missing_locations(module), f"<expression {text}>", "exec"), scope)  # noqa: S102
    evaluate = scope["evaluate"]
    return Expression(text, names, evaluate.__code__, evaluate)


def _missing(names: frozenset[str], error: KeyError, record: Mapping[str, Any]) -> Exception:
    """Tell a field that is not there from a key that is missing further inside."""
    name = error.args[0] if error.args else None
    if name in names and name not in record:
        return MissingFieldError(f"field {name!r} is not in the record", field=str(name))
    return error
