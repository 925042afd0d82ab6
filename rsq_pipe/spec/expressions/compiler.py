"""Compiler: turns an expression's tree into one that reads the record, with guards where values can grow."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.expressions import bounds
from rsq_pipe.spec.expressions.bounds import TooLargeError
from rsq_pipe.spec.expressions.envelope import READERS
from rsq_pipe.spec.expressions.functions import FUNCTIONS
from rsq_pipe.spec.expressions.grammar import WHOLE_RECORD
from rsq_pipe.spec.expressions.growth import (
    COMPARING,
    QUICK,
    SLOW,
    Comprehension,
    is_bounded,
    is_float,
    is_little,
    is_number,
    is_part,
    is_unlike_json,
    joins_few,
    makes_sets,
    sums_numbers,
    targets,
)
from rsq_pipe.spec.expressions.patterns import RUNNERS, Pattern
from rsq_pipe.spec.expressions.record_form import as_record, formatted, in_order

_SPENT = "__spent"
_GUARDS: dict[type[ast.operator], tuple[str, Callable[..., Any]]] = {
    ast.Add: ("__plus", bounds.plus),
    ast.Mult: ("__times", bounds.times),
    ast.Pow: ("__power", bounds.power),
    ast.Mod: ("__modulo", bounds.modulo),
}


def _function_name(name: str) -> str:
    return f"__call_{name}"


# A user cannot write names that start with two underscores, so these cannot be reached or hidden.
GLOBALS: dict[str, Any] = {
    "__builtins__": {},
    "__sum": sum,
    **{f"__{f.__name__}": f for f in (as_record, formatted, in_order)},
    **{_function_name(name): function for name, function in {**FUNCTIONS, **RUNNERS}.items()},
    **dict(_GUARDS.values()),
    **{f"__{f.__name__}": f for f in (bounds.built, bounds.compared, bounds.counted, bounds.looped)},
    **{f"__{f.__name__}": f for f in (bounds.merged, bounds.searched, bounds.slowly, bounds.weighed)},
}


class Compiler(ast.NodeTransformer):
    """
    Turn names into `__record['name']`, and code that can build huge values or loop long into guarded calls.

    Names are resolved here rather than by eval()'s scopes: before Python 3.12 a comprehension does not
    see eval's locals, and a field named like a function must neither hide it nor be hidden by it.

    Guards are added only where needed. Code that visits each part of the record once cannot build much more
    than the record: this is true outside loops, and in a loop for values built from the item alone. All other
    work in loops is added up.

    Attributes:
        fields: The fields that are read.
        spends: Whether the code counts the work of its loops, in `__spent`.
        timed: Whether it reads the time.
        headed: Whether it reads the record's id or headers.
        patterns: Name in the code -> regular expression.
    """

    def __init__(self) -> None:
        self.fields: set[str] = set()
        self.spends = False
        self.timed = False
        self.headed = False
        self.patterns: dict[str, Pattern] = {}
        self._converts = False  # whether values in it may be such that a record holds them in another form
        self._sets = False  # whether it makes sets, whose order differs between processes
        self._loops: list[set[str]] = []
        self._fresh: set[str] | None = None  # the names of the current item; None if all fields belong to it
        self._joins_few = False

    def compile(self, tree: ast.Expression) -> ast.expr:
        """Make the body of `evaluate`."""
        self._joins_few = joins_few(tree)
        self._converts, self._sets = is_unlike_json(tree), makes_sets(tree)
        bounded = is_bounded(tree.body) or self._is_little(tree.body)
        body: ast.expr = self.visit(tree.body)
        body = body if bounded else _call("__weighed", body)
        return _call("__as_record", body) if self._converts else body

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if (
            node.id in self.patterns
            or isinstance(node.ctx, ast.Store)
            or any(node.id in names for names in self._loops)
        ):
            return node
        record = ast.Name("__record", ast.Load())
        if node.id == WHOLE_RECORD:
            return ast.copy_location(record, node)
        self.fields.add(node.id)
        return ast.copy_location(ast.Subscript(record, ast.Constant(node.id), ast.Load()), node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if not isinstance(node.func, ast.Name):
            return node
        name = node.func.id
        self.timed |= name == "now"
        self.headed |= name in READERS
        function = "__sum" if name == "sum" and sums_numbers(node) else _function_name(name)
        counted = bool(self._loops) and self._takes_long(name, node)
        if name in RUNNERS:
            self._name_pattern(node)
        compares = name in COMPARING and len(node.args) == 1 and self._compares(node.args[0])
        arguments = [self.visit(argument) for argument in node.args]
        if compares:
            arguments = [_call("__compared", *arguments, *self._ledgers())]
        keywords = [ast.keyword(keyword.arg, self.visit(keyword.value)) for keyword in node.keywords]
        if name in RUNNERS:
            arguments = [self._ledger(), *arguments]
        elif counted:
            arguments = [self._ledger(), ast.Name(function, ast.Load()), *arguments]
            function = "__slowly" if name in SLOW else "__counted"
        return ast.copy_location(ast.Call(ast.Name(function, ast.Load()), arguments, keywords), node)

    def _name_pattern(self, node: ast.Call) -> None:
        """Replace the text of a pattern by the compiled pattern; the grammar has checked that it is valid."""
        holder = next((keyword for keyword in node.keywords if keyword.arg == "pattern"), None)
        text: Any = holder.value if holder else node.args[1]
        name = f"__pattern_{len(self.patterns)}"
        self.patterns[name] = Pattern(text.value)
        named = ast.copy_location(ast.Name(name, ast.Load()), text)
        if holder:
            holder.value = named
        else:
            node.args[1] = named

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        guarded = self._can_grow(node)
        node.left, node.right = self.visit(node.left), self.visit(node.right)
        if not guarded:
            return node
        name, guard = _GUARDS[type(node.op)]
        if isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant):
            return _fold(node, guard, node.left.value, node.right.value)
        return _call(name, node.left, node.right, *self._ledgers())

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        lefts = [node.left, *node.comparators]
        guards = [self._search_guard(*of) for of in zip(lefts, node.ops, node.comparators, strict=False)]
        looked_for = guards[0] == "__searched" and not self._is_small(node.left)
        node.left = self._guarded("__searched" if looked_for else "", self.visit(node.left))
        sides = [self.visit(side) for side in node.comparators]
        node.comparators = [self._guarded(guard, side) for guard, side in zip(guards, sides, strict=True)]
        return node

    def _guarded(self, guard: str, node: ast.expr) -> ast.expr:
        return _call(guard, node, self._ledger()) if guard else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        copies = self._loops and isinstance(node.slice, ast.Slice) and not self._is_little(node.value)
        node.value, node.slice = self.visit(node.value), self.visit(node.slice)
        return _call("__built", node, self._ledger()) if copies else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        bounded = self._is_little(node)
        node.values = [self.visit(value) for value in node.values]
        return node if bounded else _call("__built", node, *self._ledgers())

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        bounded = is_bounded(node.value) or is_part(node.value, self._is_fresh)
        node.value = self.visit(node.value)
        if not bounded:
            node.value = _call("__weighed", node.value, *self._ledgers())
        if not self._converts:
            return node  # the part after the colon is plain text
        if node.conversion != -1:
            node.value = _call("__as_record", node.value)
            return node
        form = node.format_spec or ast.copy_location(ast.Constant(""), node)
        return ast.FormattedValue(_call("__formatted", node.value, form), -1, None)

    def visit_Dict(self, node: ast.Dict) -> ast.expr:
        """Merge `{**a, 'b': 1}` with a bounded function; leave other mappings as they are."""
        parts: list[ast.expr] = []
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                parts.append(self.visit(value))
                continue
            if not parts or not isinstance(parts[-1], ast.Dict):
                parts.append(ast.Dict([], []))
            part = parts[-1]
            assert isinstance(part, ast.Dict)
            part.keys.append(self.visit(key))
            part.values.append(self.visit(value))
        if None not in node.keys:
            return ast.copy_location(parts[0], node) if parts else node
        if self._loops:
            return _call("__counted", self._ledger(), ast.Name("__merged", ast.Load()), *parts)
        return _call("__merged", *parts)

    def visit_ListComp(self, node: ast.ListComp) -> ast.expr:
        return self._visit_comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.expr:
        compares = self._compares(node)
        self._visit_comprehension(node)
        return self._hashed("set", node.elt, node, compares=compares)

    def visit_DictComp(self, node: ast.DictComp) -> ast.expr:
        compares = self._compares(node)
        self._visit_comprehension(node)
        pair = ast.Tuple([node.key, node.value], ast.Load())
        return self._hashed("dict", pair, node, compares=compares)

    def _hashed(
        self, name: str, item: ast.expr, node: ast.SetComp | ast.DictComp, *, compares: bool
    ) -> ast.expr:
        """List the items first: keys with equal hashes would take long before they could be counted."""
        listed: ast.expr = ast.copy_location(ast.ListComp(item, node.generators), node)
        if compares:
            listed = _call("__compared", listed, *self._ledgers())
        function = ast.Name(_function_name(name), ast.Load())
        if not self._loops:
            return ast.copy_location(ast.Call(function, [listed], []), node)
        counted = ast.Name("__counted", ast.Load())
        return ast.copy_location(ast.Call(counted, [self._ledger(), function, listed], []), node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.expr:
        return self._visit_comprehension(node)

    def _visit_comprehension(self, node: Comprehension) -> ast.expr:
        fresh_outside = self._fresh
        names: set[str] = set()
        for place, generator in enumerate(node.generators):
            fresh = is_part(generator.iter, self._is_fresh)
            generator.iter = self.visit(generator.iter)
            if self._sets:
                generator.iter = _call("__in_order", generator.iter)
            if not fresh:
                generator.iter = _call("__looped", generator.iter, self._ledger())
            if place == 0:  # the iterable is evaluated outside of the loop
                self._loops.append(names)
            names.update(targets(generator))
            self._fresh = targets(generator) if fresh else set()
            generator.ifs = [self.visit(condition) for condition in generator.ifs]
        for field in ("key", "value", "elt"):
            if hasattr(node, field):
                setattr(node, field, self.visit(getattr(node, field)))
        self._loops.pop()
        self._fresh = fresh_outside
        return node

    def _can_grow(self, node: ast.BinOp) -> bool:
        match node.op:
            case ast.Add():
                return not (is_number(node.left) or is_number(node.right) or self._is_little(node))
            case ast.Mult():
                return not (is_float(node.left) or is_float(node.right) or self._is_little(node))
            case ast.Pow():  # a power of a negative number may be complex, which no record can hold
                return not is_float(node.left) or not isinstance(node.left, ast.Constant)
            case ast.Mod():
                return not is_number(node.left)
        return False

    def _takes_long(self, name: str, node: ast.Call) -> bool:
        """Return whether a call's time grows with its arguments, and these are more than the item."""
        if name in QUICK:
            return False
        if name in SLOW or name in ("set", "dict"):
            return True
        large = [not (isinstance(of, ast.GeneratorExp) or self._is_little(of)) for of in node.args]
        if name in ("min", "max") and len(node.args) > 1:
            return sum(large) > 1  # comparing takes as long as the smaller side
        grows = name in ("join", "replace", "range") or (name == "sum" and not sums_numbers(node))
        return grows or any(large)

    def _search_guard(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> str:
        """Name the guard that counts the right side of a comparison in a loop; empty if it takes no time."""
        if not self._loops or self._is_small(right):
            return ""
        if isinstance(operator, ast.In | ast.NotIn):
            few = isinstance(right, ast.List | ast.Tuple | ast.Set)
            return "" if few and self._is_small(left) else "__searched"
        return "" if self._is_small(left) else "__weighed"

    def _is_small(self, node: ast.expr) -> bool:
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return all(map(self._is_small, node.elts))
        return isinstance(node, ast.Constant) or self._is_little(node)

    def _compares(self, items: ast.expr) -> bool:
        """Return whether comparing items with one another may take longer than the record's size allows."""
        if is_part(items, self._is_fresh):
            return False
        match items:
            case ast.ListComp(elt=element) | ast.GeneratorExp(elt=element) | ast.SetComp(elt=element):
                return not is_number(element)
            case ast.DictComp(key=key):
                return not is_number(key)
        return True

    def _is_little(self, node: ast.expr) -> bool:
        """Return whether everything built from it is at most a few times as large as the record."""
        return self._joins_few and is_little(node, self._is_fresh)

    def _is_fresh(self, name: str) -> bool:
        return self._fresh is None or name in self._fresh

    def _ledger(self) -> ast.expr:
        self.spends = True
        return ast.Name(_SPENT, ast.Load())

    def _ledgers(self) -> list[ast.expr]:
        return [self._ledger()] if self._loops else []


def _call(name: str, node: ast.expr, *others: ast.expr) -> ast.expr:
    return ast.copy_location(ast.Call(ast.Name(name, ast.Load()), [node, *others], []), node)


def _fold(node: ast.BinOp, guard: Callable[..., Any], left: Any, right: Any) -> ast.expr:
    column = node.col_offset + 1
    try:
        return ast.copy_location(ast.Constant(guard(left, right)), node)
    except TooLargeError as exc:
        raise ExpressionError(f"{exc}, at column {column}", column=column) from exc
    except (TypeError, ValueError, ArithmeticError) as exc:
        raise ExpressionError(f"this can only fail: {exc}, at column {column}", column=column) from exc
