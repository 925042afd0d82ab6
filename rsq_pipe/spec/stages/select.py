"""select in a file: which fields of a record are passed on, and under which names."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Struct
from pydantic import Field, ValidationError, model_validator

from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.expressions.field_path import FieldPath, clash, clash_text, parse_path, spell_path
from rsq_pipe.spec.models import Output, ReadingStage, Settings
from rsq_pipe.spec.short_form import ShortForm

FIELDS = {"type": "array", "items": {"type": "string"}, "minItems": 1}


class Select(Settings):
    """What becomes of a record's fields; a list alone stands for `keep`."""

    keep: list[str] = Field(
        default=[], min_length=1, description="The fields that go on, in this order, and no others."
    )
    drop: list[str] = Field(
        default=[],
        min_length=1,
        description="The fields that do not go on; all others do, as does what `rename` moves out of these.",
    )
    rename: dict[str, str] = Field(
        default={},
        min_length=1,
        description="Field -> its new name; together with `keep`, only for fields listed there.",
    )
    missing: Literal["error", "ignore"] = Field(
        default="error",
        description="What happens when a record lacks a field: an error of that record, or nothing.",
    )

    @model_validator(mode="after")
    def _does_something(self) -> Select:
        if self.keep and self.drop:
            raise ValueError("it has both `keep` and `drop`; write which fields go on, or which do not")
        if not (self.keep or self.drop or self.rename):
            raise ValueError("it has none of `keep`, `drop` and `rename`; write one of them")
        return self


SHORT = ShortForm("keep", list, FIELDS, "a list of fields, or a mapping; write [a, b]")


class SelectStage(ReadingStage):
    """Keep, drop, rename and reorder fields; `customer.name` is a field inside another."""

    select: Annotated[Select, SHORT] = Field(description="The fields to keep, or what becomes of them.")
    to: Output = Field(default=None, description="`{stream: NAME}`: publish the output under its own name.")


class Selection(Struct, frozen=True):
    """
    Define what becomes of a record's fields; all paths refer to the record as it came in.

    Args:
        keep: The fields that are passed on, and the new place of each; None: all but those dropped.
        drop: The fields that are dropped.
        rename: Old place of a field -> its new place; empty if `keep` gives the places.
        ignore: Whether missing fields are ignored.
    """

    keep: tuple[tuple[FieldPath, FieldPath], ...] | None = None
    drop: tuple[FieldPath, ...] = ()
    rename: tuple[tuple[FieldPath, FieldPath], ...] = ()
    ignore: bool = False

    @property
    def text(self) -> str:
        """The selection in a few words."""
        names = [f"{_named(*pair)}" for pair in (self.rename if self.keep is None else self.keep)]
        dropped = [f"-{spell_path(path)}" for path in self.drop]
        return ", ".join([*dropped, *names])


def _named(source: FieldPath, target: FieldPath) -> str:
    return spell_path(source) if source == target else f"{spell_path(source)} -> {spell_path(target)}"


def read_select(document: Document, value: Any, path: Path_) -> Selection | None:
    """Read the fields it names, reporting every mistake in their names; others are already reported."""
    try:
        settings = Select.model_validate(SHORT.whole(value))
    except (ValueError, ValidationError):
        return None
    within = path if isinstance(value, list) else (*path, "keep")
    kept = paths_at(document, [((*within, at), text) for at, text in enumerate(settings.keep)])
    drop = paths_at(document, [((*path, "drop", at), text) for at, text in enumerate(settings.drop)])
    wished = list(settings.rename.items())
    olds = paths_at(document, [((*path, "rename", old), old) for old, _ in wished], key=True)
    news = paths_at(document, [((*path, "rename", old), new) for old, new in wished])
    if document.failed(path):
        return None
    rename = dict(zip(olds.values(), news.values(), strict=True))
    for named in (kept,) if kept else (drop, olds, {**_inner(drop, rename), **olds}):
        check_apart(document, named)
    check_apart(document, news if not kept else _targets(kept, rename, olds))
    _check_kept(document, kept, olds)
    if document.failed(path):
        return None
    ignore = settings.missing == "ignore"
    if kept:
        pairs = tuple((source, rename.get(source, source)) for source in kept.values())
        return Selection(pairs, ignore=ignore)
    return Selection(None, tuple(drop.values()), tuple(rename.items()), ignore)


Places = dict[Path_, FieldPath]
"""Path of a field's name in the file -> the field."""


def paths_at(document: Document, named: list[tuple[Path_, str]], *, key: bool = False) -> Places:
    """Read fields, each with the path of its name in the file; report invalid ones."""
    found: Places = {}
    for place, text in named:
        try:
            found[place] = parse_path(text)
        except ValueError as exc:
            document.report_error(place, exc, key=key)
    return found


def top_level_name(document: Document, text: str, path: Path_) -> str:
    """Read the name of a field that is in no other; empty if none is given, or it is reported."""
    parts = paths_at(document, [(path, text)]).get(path, ()) if text else ()
    if len(parts) > 1:
        what = f"{text!r} is not the name of a top-level field"
        document.report(path, what, "write `\\.` for a dot in a name")
    return parts[0] if len(parts) == 1 else ""


def check_apart(document: Document, named: Places) -> None:
    """Report two fields that are the same, or of which one contains the other."""
    places, paths = list(named), list(named.values())
    if found := clash(paths):
        one, other = found
        document.report(places[other], clash_text(paths[one], paths[other]), "remove one of the two")


def _inner(drop: Places, rename: dict[FieldPath, FieldPath]) -> Places:
    """Leave out fields that may be dropped although fields in them are renamed: all these move out."""
    return {place: path for place, path in drop.items() if not _is_left(path, rename)}


def _is_left(path: FieldPath, rename: dict[FieldPath, FieldPath]) -> bool:
    depth = len(path)
    inside = [(old, new) for old, new in rename.items() if old[:depth] == path]
    return bool(inside) and all(len(old) > depth and new[:depth] != path for old, new in inside)


def _targets(kept: Places, rename: dict[FieldPath, FieldPath], olds: Places) -> Places:
    """Return the new place of each kept field, and its path in the file."""
    places = {old: place for place, old in olds.items()}
    return {places.get(source, place): rename.get(source, source) for place, source in kept.items()}


def _check_kept(document: Document, kept: Places, olds: Places) -> None:
    known = set(kept.values())
    for place, old in olds.items() if kept else ():
        if old not in known:
            what = f"field {spell_path(old)!r} is renamed, but not kept"
            document.report(place, what, f"add {spell_path(old)} to `keep`", key=True)
