"""Updating: rewrites expectations to the actual results, and leaves the rest of the file unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from yamlcore import CCoreLoader

from rsq_pipe.spec.document import Path_
from rsq_pipe.testing.cases.case import Case, Happened
from rsq_pipe.testing.cases.comparing import described, mismatches
from rsq_pipe.testing.cases.models import Expect
from rsq_pipe.testing.cases.yaml_text import block, entry, item


class NotUpdatableError(Exception):
    """A file in which expectations cannot be rewritten without changing anything else."""


def updated(text: str, happened: Sequence[tuple[Case, Happened]]) -> str:
    """
    Rewrite the expectations that do not hold, and add missing ones.

    Comments stay: one inside a rewritten part moves above it.

    Args:
        text: The test file.
        happened: Its tests that fail, or expect nothing, each with the results for its records.

    Raises:
        NotUpdatableError: The rewrite would change something else.
    """
    file = _File(text)
    for case, came in happened:
        file.update(case, came)
    new = file.done()
    if _without(new, happened) != _without(text, happened):
        name = happened[0][0].name
        raise NotUpdatableError(
            f"the expectations of {name!r} and others are written in a way that cannot be updated without "
            "changing more, for example because of anchors; edit them by hand"
        )
    return new


def wanted(case: Case, happened: Happened) -> dict[str, Any]:
    """Return what a test would have to expect: the results it names, and those that must not be left out."""
    expect = case.test.expect or Expect()
    found: dict[str, Any] = {}
    named = case.expected or ({} if case.test.expect else case.ends)
    for name, ref in named.items():
        came = happened.streams.get(ref, [])
        if case.is_partial and name in case.expected:
            came = _as_named(expect.__pydantic_extra__[name], came)
        found[name] = came
    if case.is_of_one_stage and not case.is_partial:
        for name, ref in case.ends.items():
            if ref not in set(named.values()) and happened.streams.get(ref):
                found[name] = happened.streams[ref]
        if not case.test.expect:
            found = {name: came for name, came in found.items() if came or len(found) == 1}
    return found | _beside(case, expect, happened)


def _beside(case: Case, expect: Expect, happened: Happened) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(expect.dlq, int):
        found["dlq"] = len(happened.dead)
    elif happened.dead or expect.dlq:
        found["dlq"] = [_letter(case, described(dead)) for dead in happened.dead]
    counts = case.is_of_one_stage and not case.is_partial and bool(happened.dropped)
    if isinstance(expect.dropped, int):
        found["dropped"] = sum(happened.dropped.values())
    elif expect.dropped is not None or counts:
        found["dropped"] = dict(happened.dropped) or 0
    if expect.stopped or happened.stopped:
        found["stopped"] = happened.stopped
    return found


def _letter(case: Case, letter: dict[str, Any]) -> dict[str, Any]:
    """Leave out fields that are implied."""
    left_out = ("stage", "record") if case.is_of_one_stage else ("record",)
    return {name: value for name, value in letter.items() if name not in left_out}


def _as_named(expected: Sequence[Mapping[str, Any]], came: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep only the fields of each record that its expectation names."""
    return [
        {name: value for name, value in record.items() if name in expected[at]}
        if at < len(expected)
        else record
        for at, record in enumerate(came)
    ]


class _File:
    """Collect the changes to a file."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._edits: list[tuple[int, int, str]] = []
        self._starts = [0]
        for line in text.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._tests = _value(yaml.compose(text, Loader=CCoreLoader), "tests")
        self._comments = list(self._find_comments())

    def update(self, case: Case, happened: Happened) -> None:
        """Rewrite the expectations of one test."""
        values = wanted(case, happened)
        test = _value(self._tests, case.name)
        assert isinstance(test, yaml.MappingNode)
        expect = _value(test, "expect")
        if not isinstance(expect, yaml.MappingNode):
            self._add_expect(test, expect, values)
        elif expect.flow_style or not expect.value:
            indent = _key(test, "expect").start_mark.column
            self._replace(expect, ["", *block(values, indent + 2)], indent)
        else:
            changed = [found.path[3:] for found in mismatches(case, happened)]
            self._change(expect, values, changed)

    def _add_expect(
        self, test: yaml.MappingNode, expect: yaml.Node | None, values: Mapping[str, Any]
    ) -> None:
        if test.flow_style:
            raise NotUpdatableError("a test that is written in braces cannot be updated; write it in lines")
        indent = test.value[0][0].start_mark.column
        lines = block(values, indent + 2)
        if expect is not None:  # `expect:` without a value
            self._replace(expect, ["", *lines], indent)
            return
        end = self._line_end(self._end(test))
        self._edits.append((end, end, "\n" + "\n".join([f"{' ' * indent}expect:", *lines])))

    def _change(self, expect: yaml.MappingNode, values: Mapping[str, Any], changed: Sequence[Path_]) -> None:
        indent = expect.value[0][0].start_mark.column
        for name, value in values.items():
            node = _value(expect, name)
            below = [path[1:] for path in changed if path[:1] == (name,)]
            if node is None:
                end = self._line_end(self._end(expect))
                self._edits.append((end, end, "\n" + "\n".join(entry(name, value, indent))))
            elif below:
                self._rewrite(node, name, value, below, indent)

    def _rewrite(self, node: yaml.Node, name: str, value: Any, changed: Sequence[Path_], indent: int) -> None:
        """Rewrite a value; in a list of the same length, only the items that differ."""
        is_list = isinstance(node, yaml.SequenceNode) and not node.flow_style and isinstance(value, list)
        if is_list and len(node.value) == len(value):
            for at in sorted({int(path[0]) for path in changed if path}):
                column = node.start_mark.column
                first, *others = item(value[at], column)
                self._replace(node.value[at], [first.lstrip()[2:], *others], column, joint="")
            return
        first, *others = entry(name, value, indent)
        self._replace(node, [first.partition(":")[2].strip() if not others else "", *others], indent)

    def _replace(self, node: yaml.Node, lines: Sequence[str], indent: int, *, joint: str = " ") -> None:
        """Replace a node by lines; comments inside it move above its first line."""
        start, end = self._start(node), self._end(node)
        while joint and self.text[start - 1 : start] in {" ", "\n"}:
            start -= 1  # back to the colon
            if self.text[start] == "\n" and (comment := self._comment_before(start)):
                start = comment
        inside = [text for at, text in self._comments if start <= at < end]
        if inside:
            above, pad = self.text.rfind("\n", 0, start) + 1, " " * indent
            self._edits.append((above, above, "".join(f"{pad}{comment}\n" for comment in inside)))
        first, *others = lines
        new = "\n".join([f"{joint}{first}" if first else "", *others])
        self._edits.append((start, end, new))

    def _comment_before(self, end: int) -> int:
        """Find the beginning of a comment that ends here; 0 for none."""
        return next((at for at, text in self._comments if at + len(text) == end), 0)

    def done(self) -> str:
        """Return the file's text with all changes."""
        text = self.text
        for start, end, new in sorted(self._edits, key=lambda edit: edit[:2], reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def _start(self, node: yaml.Node) -> int:
        return self._starts[node.start_mark.line] + int(node.start_mark.column)

    def _end(self, node: yaml.Node) -> int:
        """Find the end of a node; a block ends with its content, without the white space after it."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            return self._end(last[1] if isinstance(node, yaml.MappingNode) else last)
        end = self._starts[node.end_mark.line] + int(node.end_mark.column)
        if end <= self._start(node):
            return end
        return len(self.text[:end].rstrip())

    def _line_end(self, at: int) -> int:
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end

    def _find_comments(self) -> Iterator[tuple[int, str]]:
        """Find the comments: any text between two tokens that is not white space."""
        ends = 0
        for token in yaml.scan(self.text, Loader=CCoreLoader):
            begin = self._starts[token.start_mark.line] + token.start_mark.column
            yield from self._in_gap(ends, begin)
            ends = max(ends, self._starts[token.end_mark.line] + token.end_mark.column)
        yield from self._in_gap(ends, len(self.text))

    def _in_gap(self, start: int, end: int) -> Iterator[tuple[int, str]]:
        while (at := self.text.find("#", start, end)) >= 0:
            start = self._line_end(at)
            yield at, self.text[at:start]


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _key(node: yaml.MappingNode, key: str) -> yaml.Node:
    found: yaml.Node = next(name for name, _ in node.value if name.value == key)
    return found


def _without(text: str, happened: Sequence[tuple[Case, Happened]]) -> Any:
    """Read a file without the expectations that may change."""
    try:
        value = yaml.load(text, Loader=CCoreLoader)  # noqa: S506  a safe one
    except yaml.YAMLError:
        return None
    for case, _ in happened:
        value["tests"][case.name].pop("expect", None)
    return value
