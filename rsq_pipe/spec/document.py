"""Document: a pipeline file's values, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import yaml
from yamlcore import CCoreLoader

from rsq_pipe.errors import SpecSyntaxError
from rsq_pipe.spec.problem import Problem, Severity
from rsq_pipe.spec.variables import Variables

MAX_BYTES = 2**20
MAX_VALUES = 20_000  # with aliases expanded: ten lines of nested aliases can stand for billions of values
MAX_DEPTH = 50

Path_: TypeAlias = tuple[str | int, ...]

_FIXES = {
    "tab": "indent with spaces",
    "mapping values are not allowed": "check the indentation, or quote the text if the colon belongs to it",
    "undefined alias": "define it with & above",
    "another document": "keep one pipeline in one file",
    "cannot start any token": "quote the text",
}


class Place(NamedTuple):
    """A place in a file; both count from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Document:
    """
    Hold what a file says, and where; collect the problems found in it.

    Args:
        file: As the user named it.
        value: Mappings, lists and scalars, variables replaced.
        values: Path -> where the value starts.
        keys: Path -> where its key starts.
        replaced: The paths of scalars that held a variable.
    """

    file: str
    value: Any = None
    values: dict[Path_, Place] = field(default_factory=dict)
    keys: dict[Path_, Place] = field(default_factory=dict)
    replaced: set[Path_] = field(default_factory=set)
    secrets: tuple[str, ...] = ()
    _problems: dict[Path_, Problem] = field(default_factory=dict)
    _warnings: list[Problem] = field(default_factory=list)

    def report(
        self,
        path: Path_,
        what: str,
        fix: str = "",
        *,
        key: bool = False,
        at: Place | None = None,
        severity: Severity = "error",
    ) -> None:
        """
        Add a problem; only the first error of each path is kept, since what follows is its consequence.

        Args:
            path: What it is about; where the file has no such path, the nearest one above gives the place.
            key: Whether to point at the key rather than the value.
            at: Where else to point.
        """
        line, column = at or self._place(path, key=key)
        what, fix = self._redact(what), self._redact(fix)
        problem = Problem(self.file, line, column, spell(path), what, fix, severity)
        if severity == "warning":
            self._warnings.append(problem)
        else:
            self._problems.setdefault(path, problem)

    def failed(self, path: Path_) -> bool:
        """Tell whether an error was reported at or below a path."""
        return any(known[: len(path)] == path for known in self._problems)

    @property
    def problems(self) -> list[Problem]:
        """Everything reported, in order of place."""
        return sorted({*self._problems.values(), *self._warnings})

    def _place(self, path: Path_, *, key: bool) -> Place:
        for length in range(len(path), -1, -1):
            first, second = (self.keys, self.values) if key else (self.values, self.keys)
            place = first.get(path[:length]) or second.get(path[:length])
            if place:
                return place
        return Place(1, 1)

    def _redact(self, text: str) -> str:
        for secret in filter(None, self.secrets):
            text = text.replace(secret, "[secret]")
        return text


def spell(path: Path_) -> str:
    """Spell a path as a user reads it: `stages.route.route[0].when`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def read_document(path: Path, environ: Mapping[str, str]) -> Document:
    """
    Read a pipeline file, by the rules of YAML 1.2.

    Raises:
        SpecSyntaxError: It cannot be read, or is not YAML.
    """
    file = str(path)
    text = _read_text(path)
    loader = CCoreLoader(text)
    try:
        node = loader.get_single_node()
    except yaml.YAMLError as exc:
        raise _syntax_error(file, exc) from exc
    finally:
        loader.dispose()
    return _Builder(file, loader, Variables(environ)).build(node)


def _read_text(path: Path) -> str:
    def problem(what: str, fix: str) -> SpecSyntaxError:
        return SpecSyntaxError(Problem(str(path), 1, 1, "", what, fix))

    try:
        raw = path.read_bytes()
    except FileNotFoundError as exc:
        raise problem("there is no such file", "check the name") from exc
    except OSError as exc:
        raise problem(f"the file cannot be read: {exc.strerror}", "check its permissions") from exc
    if len(raw) > MAX_BYTES:
        raise problem(
            f"the file is larger than {MAX_BYTES:,} bytes", "a pipeline file names stages, not data"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise problem(f"the file is not UTF-8: byte {exc.start}", "save it as UTF-8") from exc


def _syntax_error(file: str, exc: yaml.YAMLError) -> SpecSyntaxError:
    mark = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    what = getattr(exc, "problem", None) or getattr(exc, "reason", None) or "it cannot be read"
    fix = next(
        (fix for word, fix in _FIXES.items() if word in what), "check indentation, brackets and quotes"
    )
    return SpecSyntaxError(Problem(file, line, column, "", f"not YAML: {what}", fix))


class _Builder:
    """Turn YAML nodes into values, remembering where each came from."""

    def __init__(self, file: str, loader: CCoreLoader, variables: Variables) -> None:
        self._loader = loader
        self._variables = variables
        self._count = 0
        self._open: list[yaml.Node] = []
        self.document = Document(file)

    def build(self, node: yaml.Node | None) -> Document:
        document = self.document
        if node is None:
            document.report((), "the file is empty", "start with `version: 1`")
            return document
        document.value = self._value(node, ())
        document.secrets = tuple(dict.fromkeys(self._variables.secrets))
        return document

    def _value(self, node: yaml.Node, path: Path_) -> Any:
        self.document.values[path] = place = _place(node)
        self._count += 1
        too_many = self._count > MAX_VALUES
        if too_many or len(self._open) > MAX_DEPTH or any(node is known for known in self._open):
            what = f"more than {MAX_VALUES:,} values" if too_many else f"deeper than {MAX_DEPTH} levels"
            problem = Problem(
                self.document.file, *place, spell(path), f"the file expands to {what}", "use fewer aliases"
            )
            raise SpecSyntaxError(problem)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._open.append(node)
        value = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)
        self._open.pop()
        return value

    def _list(self, node: yaml.Node, path: Path_) -> list[Any]:
        return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            key_path = (*path, key)
            if key in mapping:
                line = self.document.keys[key_path].line
                self._report_key(
                    key_node, key_path, f"key {key!r} stands on line {line} already", "keep one of them"
                )
                continue
            self.document.keys[key_path] = _place(key_node)
            if not key_node.tag.endswith(":str"):
                self._report_key(key_node, key_path, f"key {key!r} is not text", f'write "{key}"')
            mapping[key] = self._value(value_node, key_path)
        return mapping

    def _report_key(self, node: yaml.Node, path: Path_, what: str, fix: str) -> None:
        self.document.report(path, what, fix, at=_place(node))

    def _scalar(self, node: yaml.ScalarNode, path: Path_) -> Any:
        tag = node.tag
        if not tag.startswith("tag:yaml.org,2002:") or tag.rpartition(":")[2] not in _SCALARS:
            self.document.report(path, f"tag {tag!r} is not known", "remove it")
            return None
        if "${" in node.value:
            return self._replaced(node, path)
        return self._construct(node, path)

    def _replaced(self, node: yaml.ScalarNode, path: Path_) -> Any:
        text, mistakes = self._variables.replace(node.value)
        self.document.replaced.add(path)
        if mistakes:
            what, _, fix = mistakes[0].partition("; ")
            self.document.report(path, what, fix)
            return None
        plain = node.style in (None, "")
        tag = self._loader.resolve(yaml.ScalarNode, text, (plain, not plain))
        return self._construct(yaml.ScalarNode(tag, text, node.start_mark, node.end_mark), path)

    def _construct(self, node: yaml.ScalarNode, path: Path_) -> Any:
        try:
            return self._loader.construct_object(node)
        except (ValueError, yaml.YAMLError):
            self.document.report(path, "the value cannot be read", "quote it if it is text")
            return None


_SCALARS = ("str", "int", "float", "bool", "null")


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def retype(text: str) -> Any:
    """Read a text as YAML would read it without quotes: `"200"` as the number 200."""
    loader = CCoreLoader("")
    try:
        return loader.construct_object(
            yaml.ScalarNode(loader.resolve(yaml.ScalarNode, text, (True, False)), text)
        )
    except (ValueError, yaml.YAMLError):
        return text
    finally:
        loader.dispose()
