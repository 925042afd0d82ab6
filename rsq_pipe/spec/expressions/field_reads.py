"""Field reads: which fields an expression reads, where, and whether for every record."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.spec.expressions.field_path import parse_path
from rsq_pipe.spec.expressions.grammar import WHOLE_RECORD
from rsq_pipe.spec.expressions.syntax import parse


class FieldRead(Struct, frozen=True):
    """
    Describe one place where an expression reads a field at the top of the record.

    Args:
        name: The field.
        at: Its offset in the text, from 0.
        sure: Whether it is evaluated for every record, which then fails if it lacks the field.
        compared: Whether it is compared with something, as text without quotes would be.
        path: The whole text if `name` is the first part of a path; it may itself be a field's name.
    """

    name: str
    at: int
    sure: bool = True
    compared: bool = False
    path: str = ""


@lru_cache(maxsize=1024)
def field_reads(text: str) -> tuple[FieldRead, ...]:
    """List the fields that an expression reads, in the order of evaluation."""
    return tuple(_reads(parse(text).body, sure=True, own=frozenset()))


def _reads(node: ast.AST, *, sure: bool, own: frozenset[str]) -> Iterator[FieldRead]:
    match node:
        case ast.Name():
            if node.id not in own and node.id != WHOLE_RECORD:
                yield FieldRead(node.id, node.col_offset, sure)
        case ast.Subscript(value=ast.Name(id=of), slice=ast.Constant(value=str(name))) if of == WHOLE_RECORD:
            if of not in own:
                yield FieldRead(name, node.slice.col_offset, sure)
        case ast.Call(func=ast.Name(id=function)):
            yield from _of_call(node, function, sure=sure, own=own)
        case ast.IfExp():
            yield from _reads(node.test, sure=sure, own=own)
            yield from _each([node.body, node.orelse], sure=False, own=own)
        case ast.BoolOp():
            yield from _reads(node.values[0], sure=sure, own=own)
            yield from _each(node.values[1:], sure=False, own=own)
        case ast.Compare():
            yield from _compared([node.left, node.comparators[0]], node.ops[0], sure=sure, own=own)
            yield from _compared(node.comparators[1:], node.ops[-1], sure=False, own=own)
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            elements = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            yield from _of_loop(node.generators, elements, sure=sure, own=own)
        case _:
            yield from _each(list(ast.iter_child_nodes(node)), sure=sure, own=own)


def _each(nodes: Sequence[ast.AST], *, sure: bool, own: frozenset[str]) -> Iterator[FieldRead]:
    for node in nodes:
        yield from _reads(node, sure=sure, own=own)


def _of_call(node: ast.Call, function: str, *, sure: bool, own: frozenset[str]) -> Iterator[FieldRead]:
    match function, node.args:
        case "get", [ast.Name(id="record"), ast.Constant(value=str(path)), *others] if "record" not in own:
            first = _first(path)
            yield FieldRead(first, node.args[1].col_offset, sure=False, path=path)
            yield from _each(others, sure=sure, own=own)
        case _:
            yield from _each([*node.args, *node.keywords], sure=sure, own=own)


def _first(path: str) -> str:
    try:
        return parse_path(path)[0]
    except ValueError:
        return path


def _compared(
    nodes: Sequence[ast.expr], operator: ast.cmpop, *, sure: bool, own: frozenset[str]
) -> Iterator[FieldRead]:
    """Mark names next to `==`, or in a list after `in`."""
    equal = isinstance(operator, ast.Eq | ast.NotEq)
    among = isinstance(operator, ast.In | ast.NotIn)
    for node in nodes:
        if equal and isinstance(node, ast.Name):
            yield from (replace(read, compared=True) for read in _reads(node, sure=sure, own=own))
        elif among and isinstance(node, ast.List | ast.Tuple | ast.Set):
            for item in node.elts:
                named = isinstance(item, ast.Name)
                yield from (replace(read, compared=named) for read in _reads(item, sure=sure, own=own))
        else:
            yield from _reads(node, sure=sure, own=own)


def _of_loop(
    generators: Sequence[ast.comprehension],
    elements: Sequence[ast.expr],
    *,
    sure: bool,
    own: frozenset[str],
) -> Iterator[FieldRead]:
    """Only the first iterable is evaluated for sure: there may be no items."""
    for generator in generators:
        yield from _reads(generator.iter, sure=sure, own=own)
        sure = False
        names = (node.id for node in ast.walk(generator.target) if isinstance(node, ast.Name))
        own = own | frozenset(names)
        yield from _each(generator.ifs, sure=False, own=own)
    yield from _each(elements, sure=False, own=own)
