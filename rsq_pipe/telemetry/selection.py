"""Selection: which records of a batch are traced, and whose trace contexts are not followed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from rsq_pipe.model.batch import Batch
from rsq_pipe.streams.headers import PARENT, REPLAY_LINK
from rsq_pipe.telemetry.sampler import Sampler
from rsq_pipe.telemetry.trace_context import TraceContext, read


class Selection(Struct, frozen=True):
    """
    Hold the places of a batch's records.

    Args:
        parents: Place -> the incoming context of a traced record; None if its trace begins here.
        broken: Places of records whose context is malformed.
        passed_over: Place -> the context of a record whose trace is not followed, although its sender traces
            it.
    """

    parents: Mapping[int, TraceContext | None]
    broken: Sequence[int]
    passed_over: Mapping[int, TraceContext]


def select(batch: Batch, sampler: Sampler, *, again_stream: str, outside: frozenset[str]) -> Selection | None:
    """
    Choose the records of a batch that are traced; the others cost nothing if no stream is from outside.

    Args:
        batch: The batch.
        sampler: Decides on records that come from outside.
        again_stream: The key of the stage's own stream, where replayed records come from.
        outside: The keys of the streams among its inputs that others write.

    Returns:
        None if all records are passed on unchanged.
    """
    if not outside and not batch.headers:
        return None
    found = {place: read(headers) for place, headers in batch.headers.items() if PARENT in headers}
    contexts = {place: context for place, context in found.items() if context is not None}
    broken = [place for place, context in found.items() if context is None]
    entries = {place for place, entry in enumerate(batch.deliveries) if entry.stream in outside}
    brought = [place for place in contexts if batch.origins[place] in entries]
    parents: dict[int, TraceContext | None] = {
        place: context
        for place, context in contexts.items()
        if batch.origins[place] not in entries and sampler.follows(context)
    }
    passed_over: dict[int, TraceContext] = {}
    if brought:
        records = sum(origin in entries for origin in batch.origins)
        chosen = sampler.choose_followed([contexts[place] for place in brought], records)
        parents |= {brought[choice]: contexts[brought[choice]] for choice in chosen}
        passed_over = {p: contexts[p] for p in brought if p not in parents and contexts[p].sampled}
    if sampler.starts_traces:
        parents |= dict.fromkeys(_replayed(batch, again_stream))
    if entries:
        fresh = _fresh(batch, entries, contexts)
        parents |= {fresh[choice]: None for choice in sampler.choose(len(fresh))}
    if not parents and not broken and not passed_over:
        return None
    return Selection(dict(sorted(parents.items())), broken, passed_over)


def _replayed(batch: Batch, again_stream: str) -> Sequence[int]:
    """Find records replayed from dead letters without their old context: they begin a new trace."""
    return [
        place
        for place, headers in batch.headers.items()
        if REPLAY_LINK in headers and PARENT not in headers and is_of(batch, place, again_stream)
    ]


def _fresh(batch: Batch, entries: Collection[int], contexts: Collection[int]) -> Sequence[int]:
    """Find the records that came from outside without a context, or with a malformed one."""
    if not contexts and len(entries) == len(batch.deliveries):  # nearly always, if there are any
        return range(len(batch))
    return [
        place for place, origin in enumerate(batch.origins) if origin in entries and place not in contexts
    ]


def is_of(batch: Batch, place: int, stream: str) -> bool:
    """Return whether a record came in an entry of this stream."""
    delivery = batch.delivery_at(place)
    return delivery is not None and delivery.stream == stream
