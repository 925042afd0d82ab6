"""explode in a file: a list in a record, whose items each become a record."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Struct
from pydantic import Field, ValidationError

from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.expressions.field_path import FieldPath, spell_path
from rsq_pipe.spec.models import Output, ReadingStage, Settings
from rsq_pipe.spec.short_form import ShortForm
from rsq_pipe.spec.stages.select import Places, check_apart, paths_at, top_level_name


class Explode(Settings):
    """A list in a record, and what goes on with each of its items; a field alone stands for `field`."""

    field: str = Field(description="The field that holds the list; null is a list without items.")
    as_: str = Field(
        default="",
        min_length=1,
        alias="as",
        description="The name of the item in its record; left out: the list's name, whose place it takes.",
    )
    index: str = Field(
        default="", min_length=1, description="The name of the item's number, from 0; left out: none."
    )
    keep: list[str] | None = Field(
        default=None,
        description="The fields of the whole record that go with each item; left out: all others.",
    )
    empty: Literal["drop", "keep"] = Field(
        default="drop",
        description="What becomes of a record whose list has no items: it is dropped and counted, or goes on "
        "once with null as the item.",
    )


SHORT = ShortForm("field", str, {"type": "string"}, "a field, or a mapping; write `explode: lines`")


class ExplodeStage(ReadingStage):
    """Make one record from each item of a list."""

    explode: Annotated[Explode, SHORT] = Field(description="The field, or what becomes of its items.")
    to: Output = Field(default=None, description="`{stream: NAME}`: publish the output under its own name.")


class Explosion(Struct, frozen=True):
    """
    Define how a list's items become records.

    Args:
        field: The list.
        name: The field of the item, at the top of its record.
        index: The field of the item's number; empty for none.
        keep: The fields of the whole record that each item's record gets; None: all others.
        keeps_empty: Whether a record without items is passed on.
    """

    field: FieldPath
    name: str
    index: str = ""
    keep: tuple[FieldPath, ...] | None = None
    keeps_empty: bool = False

    @property
    def text(self) -> str:
        """The explosion in a few words."""
        field = spell_path(self.field)
        return field if (self.name,) == self.field else f"{field} as {self.name}"


def read_explode(document: Document, value: Any, path: Path_) -> Explosion | None:
    """Read what a stage explodes, reporting every mistake in names; others are already reported."""
    try:
        settings = Explode.model_validate(SHORT.whole(value))
    except (ValueError, ValidationError):
        return None
    at = path if isinstance(value, str) else (*path, "field")
    field = paths_at(document, [(at, settings.field)]).get(at)
    kept = paths_at(document, [((*path, "keep", n), text) for n, text in enumerate(settings.keep or ())])
    name = top_level_name(document, settings.as_, (*path, "as"))
    index = top_level_name(document, settings.index, (*path, "index"))
    if field is None or document.failed(path):
        return None
    if not name and len(field) > 1:
        what = f"the items of {settings.field!r}, which is inside another field, need a name"
        document.report(at, what, "add `as: NAME`: an item becomes a top-level field of its record")
    name = name or field[-1]
    if index == name:
        document.report((*path, "index"), f"item and number are both named {name!r}", "choose another name")
    check_apart(document, kept)
    _check_names(document, kept, {"as": name, "index": index})
    if document.failed(path):
        return None
    keep = None if settings.keep is None else tuple(kept.values())
    return Explosion(field, name, index, keep, settings.empty == "keep")


def _check_names(document: Document, kept: Places, names: dict[str, str]) -> None:
    for place, field in kept.items():
        for key, name in names.items():
            if name == field[0]:
                what = f"field {spell_path(field)!r} is kept, and {name!r} is the name of the "
                what += "item" if key == "as" else "item's number"
                document.report(place, what, f"do not keep it, or choose another name by `{key}`")
