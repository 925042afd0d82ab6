"""Reading: parses the text of a pipeline file into values, each with its place."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError
from yamlcore import CCoreLoader

from rsq_pipe import redaction
from rsq_pipe.errors import SpecSyntaxError
from rsq_pipe.spec.document import Document, Path_, Place, spell
from rsq_pipe.spec.problem import Problem
from rsq_pipe.spec.variables import Variables
from rsq_pipe.suggestion import near

MAX_BYTES = 2**20
MAX_VALUES = 20_000  # with aliases expanded: ten lines of nested aliases can expand to billions of values
MAX_DEPTH = 50

_FIXES = {
    "never closed": "close it",
    "tab": "indent with spaces",
    "mapping values are not allowed": "check the indentation, or quote the text if the colon belongs to it",
    "undefined alias": "define it with & above",
    "another document": "keep one pipeline in one file",
    "cannot start any token": "quote the text",
    "expected ',' or '}'": "close the brackets, and quote a value with [ ] { } or a comma in it",
    "expected ',' or ']'": "close the brackets, and quote a value with [ ] { } or a comma in it",
}


def read_document(
    path: Path,
    environ: Mapping[str, str] | None,
    begins: str = "version: 1",
    *,
    operate: bool = False,
    connect: bool = True,
    call: bool = True,
    stage_secrets: bool = True,
    text: str | None = None,
) -> Document:
    """
    Parse a pipeline file by the rules of YAML 1.2.

    Args:
        path: The file.
        environ: The environment for `${VAR}`; None to leave it as it is.
        begins: How a file of this kind begins, for the error about an empty one.
        operate: Whether the pipeline is only operated, not run: then secrets of its stages need not be set.
        connect: Whether the servers it names are contacted, so that their secrets must be set.
        call: Whether its handlers are called, so that theirs must.
        stage_secrets: Whether secrets of stages must be set at all.
        text: Its content at some time; None to read it.

    Raises:
        SpecSyntaxError: It cannot be read, or is not YAML.
    """
    variables = None if environ is None else Variables(environ)
    read = _read_text(path) if text is None else text
    begun = Document(
        str(path), read, operate=operate, connect=connect, call=call, stage_secrets=stage_secrets
    )
    document = _filled(begun, variables)
    if document.value is None and not document.values:
        document.report((), "the file is empty", f"start with `{begins}`")
    return document


def stored_values(text: str) -> Any:
    """
    Parse the text of a pipeline file stored on a server, leaving variables as written.

    Returns:
        Its values; None if it is missing, not YAML, or larger than a file may be: something else may have put
            it there.
    """
    try:
        return _filled(Document("", text), None).value if len(text) <= MAX_BYTES else None
    except SpecSyntaxError:
        return None


def _filled(document: Document, variables: Variables | None) -> Document:
    file, text = document.file, document.text
    loader = CCoreLoader(text)
    try:
        _check_depth(file, text)
        node = loader.get_single_node()
    except yaml.YAMLError as exc:
        raise _syntax_error(file, text, exc) from exc
    finally:
        loader.dispose()
    return _Builder(document, loader, variables).build(node)


def _read_text(path: Path) -> str:
    def problem(what: str, fix: str) -> SpecSyntaxError:
        return SpecSyntaxError(Problem(str(path), 1, 1, "", what, fix))

    try:
        raw = _read_regular(path)
    except FileNotFoundError as exc:
        like = _like(path)
        raise problem(
            "there is no such file", f"did you mean {like!r}?" if like else "check the name"
        ) from exc
    except IsADirectoryError as exc:
        raise problem("this is a folder", "name the pipeline file in it") from exc
    except OSError as exc:
        raise problem(f"the file cannot be read: {exc.strerror}", "check its permissions") from exc
    if raw is None:
        raise problem("this is not a regular file", "write the pipeline to a file, and name that")
    if len(raw) > MAX_BYTES:
        raise problem(
            f"the file is larger than {MAX_BYTES:,} bytes", "a pipeline file names stages, not data"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line, column = _place_behind(exc.object[: exc.start])
        what = f"the file is not UTF-8: byte {exc.start}"
        raise SpecSyntaxError(Problem(str(path), line, column, "", what, "save it as UTF-8")) from exc


def _place_behind(before: bytes) -> tuple[int, int]:
    """Return the line and column of the byte behind others."""
    lines = before.split(b"\n")
    return len(lines), len(lines[-1].decode(errors="replace")) + 1


def _like(path: Path) -> str:
    """Find the pipeline file that was most likely meant instead of a missing one; empty if there is none."""
    try:
        names = sorted(one.name for one in path.parent.iterdir() if one.suffix in {".yaml", ".yml"})
    except OSError:
        return ""
    stems = {name.rpartition(".")[0]: name for name in names}
    found = stems.get(path.name) or stems.get(near(path.stem, stems) or "")
    return str(path.with_name(found)) if found else ""


def _read_regular(path: Path) -> bytes | None:
    """Read a little more than the limit; None for a pipe or device, which might never end."""
    # Opening a pipe without a writer would block.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return file.read(MAX_BYTES + 1) if stat.S_ISREG(mode) else None


def _no_name(mapping: yaml.MappingNode, key: yaml.Node) -> tuple[str, str]:
    """Return what is wrong with a key that is a list or a mapping, and the fix."""
    if isinstance(key, yaml.SequenceNode):
        return "a key is a list", "write a name"
    if mapping.flow_style and len(mapping.value) == 1:
        return (
            "{{ }} is a template of another tool",
            "write ${NAME} for a variable, a field by its name alone",
        )
    return "a key is a mapping", "write a name"


def _syntax_error(file: str, text: str, exc: yaml.YAMLError) -> SpecSyntaxError:
    mark = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if isinstance(exc, ReaderError):  # it has no mark, but how many bytes come before
        line, column = _place_behind(text.encode()[: exc.position])
    what = getattr(exc, "problem", None) or getattr(exc, "reason", None) or "it cannot be read"
    if _at(text, line, column) == "\t":
        what = "found a tab where only spaces can indent"
    opened = getattr(exc, "context_mark", None)
    if opened and "end of stream" in what and "quoted scalar" in str(getattr(exc, "context", "")):
        line, column = opened.line + 1, opened.column + 1
        what = "the quote that opens here is never closed"
    what = what.removeprefix("but ")
    fix = next(
        (fix for word, fix in _FIXES.items() if word in what), "check indentation, brackets and quotes"
    )
    return SpecSyntaxError(Problem(file, line, column, "", f"not YAML: {what}", fix))


def _check_depth(file: str, text: str) -> None:
    """Refuse deep nesting before nodes are made: the C library builds them recursively, and would crash."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=CCoreLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                mark = event.start_mark
                assert mark is not None
                raise _too_deep(file, mark.line, mark.column)
    except yaml.MarkedYAMLError as exc:
        # Newer releases of the C library refuse deep brackets themselves, with their own message, before
        # their first event arrives.
        refused = exc.problem_mark
        if refused is not None and _open_brackets(text[: refused.index]) > MAX_DEPTH:
            raise _too_deep(file, refused.line, refused.column) from exc
        raise


def _too_deep(file: str, line: int, column: int) -> SpecSyntaxError:
    what = f"the file is deeper than {MAX_DEPTH} levels"
    return SpecSyntaxError(Problem(file, line + 1, column + 1, "", what, "write it flatter"))


def _open_brackets(text: str) -> int:
    return sum(text.count(opening) for opening in "[{") - sum(text.count(closing) for closing in "]}")


def _at(text: str, line: int, column: int) -> str:
    lines = text.split("\n")
    return lines[line - 1][column - 1 : column] if line <= len(lines) else ""


class _Builder:
    """Turn YAML nodes into values, and store the place of each."""

    def __init__(self, document: Document, loader: CCoreLoader, variables: Variables | None) -> None:
        self._loader = loader
        self._variables = variables
        self._count = 0
        self._open: list[yaml.Node] = []
        self.document = document

    def build(self, node: yaml.Node | None) -> Document:
        document = self.document
        if node is None:
            return document
        document.value = self._value(node, ())
        if self._variables is not None:
            document.secrets = tuple(dict.fromkeys(self._variables.secrets))
            redaction.add(document.secrets)
        return document

    def _value(self, node: yaml.Node, path: Path_) -> Any:
        self.document.values[path] = place = _place(node)
        self._count += 1
        self._check_bounds(node, path, place)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._open.append(node)
        value = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)
        self._open.pop()
        return value

    def _check_bounds(self, node: yaml.Node, path: Path_, place: Place) -> None:
        if self._count > MAX_VALUES:
            what = f"the file expands to more than {MAX_VALUES:,} values"
        elif any(node is known for known in self._open):
            what = "the alias is inside what it refers to"
        else:
            return
        raise SpecSyntaxError(Problem(self.document.file, *place, spell(path[:1]), what, "write it out"))

    def _list(self, node: yaml.Node, path: Path_) -> list[Any]:
        return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                at = _place(key_node)
                self.document.report((*path, "?"), *_no_name(node, key_node), at=at, part=str(at))
                continue
            key = str(key_node.value)
            key_path = (*path, key)
            if key in mapping:
                line = self.document.keys[key_path].line
                self._report_key(
                    key_node, key_path, f"key {key!r} is already on line {line}", "keep one of them"
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
        if not tag.startswith(_TAGS) or tag.rpartition(":")[2] not in _SCALARS:
            self.document.report(path, f"tag {tag.replace(_TAGS, '!!')!r} is not known", "remove it")
            return None
        if "${" in node.value and self._variables is not None:
            return self._replaced(node, path, self._variables)
        return self._construct(node, path)

    def _replaced(self, node: yaml.ScalarNode, path: Path_, variables: Variables) -> Any:
        keep_secrets = not self.document.needs_secret(path)
        text, mistakes = variables.replace(node.value, keep_secrets=keep_secrets)
        self.document.replaced[path] = text
        if mistakes:
            whats, _, fixes = zip(*(mistake.partition("; ") for mistake in mistakes), strict=True)
            self.document.report(path, ", and ".join(whats), fixes[0])
            return None
        # A variable that is set but empty is an empty text, not null: null removes fields from records.
        plain = node.style in (None, "") and text != ""
        tag = self._loader.resolve(yaml.ScalarNode, text, (plain, not plain))
        return self._construct(yaml.ScalarNode(tag, text, node.start_mark, node.end_mark), path)

    def _construct(self, node: yaml.ScalarNode, path: Path_) -> Any:
        try:
            return self._loader.construct_object(node)
        except (ValueError, yaml.YAMLError):
            self.document.report(path, "the value cannot be read", "quote it if it is text")
            return None


_TAGS = "tag:yaml.org,2002:"
_SCALARS = ("str", "int", "float", "bool", "null")


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def retype(text: str) -> Any:
    """Parse a text as YAML would without quotes: `"200"` as the number 200."""
    loader = CCoreLoader("")
    try:
        return loader.construct_object(
            yaml.ScalarNode(loader.resolve(yaml.ScalarNode, text, (True, False)), text)
        )
    except (ValueError, yaml.YAMLError):
        return text
    finally:
        loader.dispose()
