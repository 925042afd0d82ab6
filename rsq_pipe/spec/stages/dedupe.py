"""dedupe in a file: the key by which a record is recognised, and how long it is remembered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Struct
from pydantic import Field, ValidationError

from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.models import Output, ReadingStage, Settings
from rsq_pipe.spec.record_key import KeyText, RecordKey, read_key
from rsq_pipe.spec.short_form import ShortForm
from rsq_pipe.units import Duration, OneOrMore, format_duration

MAX_KEYS = 1_000_000


class Dedupe(Settings):
    """The key, and how long it is remembered; a key alone stands for `key`."""

    key: KeyText = Field(
        description="What a record is known again by: a field, `order.id`; a list of fields; an expression."
    )
    within: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None,
        description="How long a key is remembered after a record came with it, up to an eighth longer; left "
        "out: for ever.",
    )
    max_keys: OneOrMore = Field(
        default=MAX_KEYS,
        description="How many keys are remembered, at most; the server holds them in memory.",
    )
    evict: Literal["oldest"] | None = Field(
        default=None,
        description="What becomes of keys where there are more: `oldest` forgets the oldest, an eighth of "
        "them at a time; left out: the stage stops.",
    )


SHORT = ShortForm(
    "key", (str, list), {"type": ["string", "array"]}, "a key, or a mapping; write `dedupe: order_id`"
)


class DedupeStage(ReadingStage):
    """Pass on the first record of each key; drop and count the others."""

    dedupe: Annotated[Dedupe, SHORT] = Field(description="The key, or how long it is remembered, too.")
    to: Output = Field(default=None, description="`{stream: NAME}`: publish the output under its own name.")


class Deduplication(Struct, frozen=True):
    """
    Define which keys are remembered.

    Args:
        key: The key of a record.
        within: Seconds for which it is remembered; None for no limit.
        max_keys: Maximum number of remembered keys.
        evicts: Whether the oldest are removed if there are more.
    """

    key: RecordKey
    within: float | None = None
    max_keys: int = MAX_KEYS
    evicts: bool = False

    @property
    def text(self) -> str:
        """The deduplication in a few words."""
        return f"by {self.key.text}" + ("" if self.within is None else f" for {format_duration(self.within)}")


def read_dedupe(document: Document, value: Any, path: Path_) -> Deduplication | None:
    """Read what a stage remembers, reporting mistakes in its key; others are already reported."""
    try:
        settings = Dedupe.model_validate(SHORT.whole(value))
    except (ValueError, ValidationError):
        return None
    at = (*path, "key") if isinstance(value, dict) else path
    key = read_key(document, settings.key, at)
    if key is None:
        return None
    return Deduplication(key, settings.within, settings.max_keys, settings.evict == "oldest")
