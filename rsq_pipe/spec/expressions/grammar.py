"""Grammar: which subset of Python expressions may use."""

from __future__ import annotations

import ast
import re
from typing import NoReturn

from evalidate import EvalModel, SafeAST, ValidationException

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.expressions import slips
from rsq_pipe.spec.expressions.arguments import wrong_arguments
from rsq_pipe.spec.expressions.functions import FUNCTIONS
from rsq_pipe.spec.expressions.growth import DATING
from rsq_pipe.suggestion import suggest

MAX_FORMAT_WIDTH = 99

# The whole record, for fields that may be missing (`'region' in record`, `get(record, 'region', '-')`)
# and for fields whose names are not Python names (`record['unit price']`).
WHOLE_RECORD = "record"

_MODEL = EvalModel(
    nodes=[
        *(
            "Expression",
            "Constant",
            "Name",
            "Load",
            "Store",
            "Call",
            "keyword",
            "IfExp",
            "Subscript",
            "Slice",
        ),
        *("Compare", "Eq", "NotEq", "Gt", "GtE", "Lt", "LtE", "In", "NotIn", "Is", "IsNot"),
        *("BinOp", "Add", "Sub", "Mult", "Div", "FloorDiv", "Mod", "Pow"),
        *("UnaryOp", "USub", "UAdd", "Not", "BoolOp", "And", "Or"),
        *("List", "Tuple", "Dict", "Set", "JoinedStr", "FormattedValue"),
        *("ListComp", "SetComp", "DictComp", "GeneratorExp", "comprehension"),
    ],
    allowed_functions=list(FUNCTIONS),
)

_REFUSED = {
    "Attribute": ("attributes (`.{attr}`) are not allowed", "use a subscript, x['{attr}'], or a function"),
    "Lambda": ("`lambda` is not allowed", "use a comprehension"),
    "NamedExpr": ("`:=` is not allowed", "write the value twice, or in a separate map stage"),
    "Starred": ("`*` before a value is not allowed", "name the items"),
    "Await": ("`await` is not allowed", "use a call stage"),
    "Yield": ("`yield` is not allowed", "use a call stage"),
    "Call": ("this cannot be called", "call a function by its name"),
    "MatMult": ("`@` is not allowed", "use a call stage"),
    "BitAnd": ("`&` is not allowed", "write `and`"),
    "BitOr": ("`|` is not allowed", "write `or`"),
    "BitXor": ("`^` is not allowed", "write `**` for a power"),
    "RShift": ("`>>` is not allowed", "compare with `>`"),
    "LShift": ("`<<` is not allowed", "compare with `<`"),
    "Invert": ("`~` is not allowed", "write `not`"),
}


class Grammar(SafeAST):  # type: ignore[misc]  # evalidate has no types
    """evalidate's check, with the column and the fix in the message, and further rules."""

    def __init__(self) -> None:
        super().__init__(_MODEL)
        self.column = 1

    def generic_visit(self, node: ast.AST) -> None:
        self.column = getattr(node, "col_offset", self.column - 1) + 1
        if isinstance(node, ast.Name):
            self._check_name(node)
        elif isinstance(node, ast.Constant):
            self._check_constant(node)
        elif isinstance(node, ast.Call):
            self._check_call(node)
        elif isinstance(node, ast.Attribute):
            self._check_attribute(node)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            self._check_pipe(node)
        elif isinstance(node, ast.FormattedValue):
            self._check_format(node)
        elif isinstance(node, ast.Compare):
            self._check_compare(node)
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            raise self._error("a loop variable must be a name", "expressions do not change the record")
        try:
            super().generic_visit(node)
        except ValidationException as exc:
            self._refuse(node, exc)

    def _refuse(self, node: ast.AST, exc: ValidationException) -> NoReturn:
        name = type(node).__name__
        what, fix = _REFUSED.get(name, (f"{name} is not allowed in an expression", "use a call stage"))
        attr = getattr(node, "attr", "")
        raise self._error(what.format(attr=attr), fix.format(attr=attr)) from exc

    def _error(self, what: str, fix: str) -> ExpressionError:
        fix = f"; {fix}" if fix else ""
        return ExpressionError(f"{what} at column {self.column}{fix}", column=self.column)

    def _check_name(self, node: ast.Name) -> None:
        if node.id.startswith("__"):
            raise self._error(f"names like {node.id!r} are not allowed", f"use record[{node.id!r}]")
        if isinstance(node.ctx, ast.Store) and node.id == WHOLE_RECORD:
            raise self._error("'record' stands for the whole record", "give the loop variable another name")

    def _check_constant(self, node: ast.Constant) -> None:
        if not isinstance(node.value, str | int | float | bool | None):
            raise self._error(f"{node.value!r} is not a value a record can hold", "use text or a number")

    def _check_call(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Name):
            self._check_method(node)
            return  # evalidate refuses it in any case
        if node.func.id not in FUNCTIONS:
            otherwise = "use a call stage for what no function does"
            fix = slips.function(node.func.id) or suggest(node.func.id, FUNCTIONS, otherwise=otherwise)
            raise self._error(f"there is no function {node.func.id!r}", fix)
        if any(keyword.arg is None for keyword in node.keywords):
            raise self._error("`**` before an argument is not allowed", "name the arguments")
        if wrong := wrong_arguments(node.func.id, node):
            what, place = wrong
            self.column = place.col_offset + 1
            raise self._error(*what.partition("; ")[::2])

    def _check_pipe(self, node: ast.BinOp) -> None:
        """Say how a filter of a template is written: `name | upper`."""
        into = node.right.func if isinstance(node.right, ast.Call) else node.right
        if isinstance(into, ast.Name) and (fix := slips.piped(ast.unparse(node.left), into.id)):
            raise self._error("`|` is not allowed", fix)

    def _check_method(self, node: ast.Call) -> None:
        func = node.func
        if isinstance(func, ast.Attribute) and not func.attr.startswith("_"):
            arguments = ", ".join(map(ast.unparse, node.args))
            fix = slips.method(func.attr, _respelt(func.value), arguments)
            raise self._error(f"methods (`.{func.attr}()`) are not allowed", fix)

    def _check_attribute(self, node: ast.Attribute) -> None:
        if not node.attr.startswith("_"):
            fix = slips.attribute(node.attr, _respelt(node.value), whole=WHOLE_RECORD)
            raise self._error(f"attributes (`.{node.attr}`) are not allowed", fix)

    def _check_compare(self, node: ast.Compare) -> None:
        """Refuse `country is 'France'`, for which Python's warning changes with its version."""
        sides = [node.left, *node.comparators]
        for place, operator in enumerate(node.ops):
            literal = any(
                isinstance(side, ast.Constant) and not isinstance(side.value, bool | None)
                for side in sides[place : place + 2]
            )
            if literal and isinstance(operator, ast.Is | ast.IsNot):
                word, instead = ("is", "==") if isinstance(operator, ast.Is) else ("is not", "!=")
                raise self._error(f"`{word}` with a literal is not allowed", f"compare with `{instead}`")
            self._check_dates(sides[place : place + 2], operator)

    def _check_dates(self, sides: list[ast.expr], operator: ast.cmpop) -> None:
        """Refuse to compare a date with text or a moment: `==` would never hold, `<` always fail."""
        equal = isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn)
        if isinstance(operator, ast.In | ast.NotIn) and not _are_texts(sides[1]):
            return
        kinds = {_made(side) for side in sides}
        if "text" in kinds and kinds & {"date", "moment", "either"}:
            what = "is never equal to" if equal else "cannot be compared with"
            raise self._error(
                f"a date or moment {what} text", "write date('2024-01-31'), or datetime() for a moment"
            )
        if kinds == {"date", "moment"}:
            what = "is never equal to" if equal else "cannot be compared with"
            raise self._error(f"a date {what} a moment", "write date() or datetime() for both")

    def _check_format(self, node: ast.FormattedValue) -> None:
        spec = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
        for part in spec:
            text = part.value if isinstance(part, ast.Constant) else None
            if not isinstance(text, str) or any(int(n) > MAX_FORMAT_WIDTH for n in re.findall(r"\d+", text)):
                raise self._error("a format must be plain text", f"with widths up to {MAX_FORMAT_WIDTH}")


def _made(node: ast.expr) -> str:
    """Return what an expression makes, as far as dates are concerned and its shape shows it."""
    if _are_texts(node):
        return "text"
    name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    if name == "date":
        return name
    if name in ("datetime", "now", "from_timestamp"):
        return "moment"
    return "either" if name in DATING else ""


def _are_texts(node: ast.expr) -> bool:
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return bool(node.elts) and all(map(_are_texts, node.elts))
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _respelt(node: ast.expr) -> str:
    """Rewrite `a.b.lower()` in our form: `lower(a['b'])`."""
    if isinstance(node, ast.Attribute):
        of = _respelt(node.value)
        return node.attr if of in (WHOLE_RECORD, slips.THIS) else f"{of}[{node.attr!r}]"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return f"{node.func.attr}({', '.join([_respelt(node.func.value), *map(ast.unparse, node.args)])})"
    return ast.unparse(node)
