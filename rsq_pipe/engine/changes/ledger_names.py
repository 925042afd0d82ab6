"""
Ledger names: the name of a renamed sink in the ledger next to its table.

That ledger cannot be renamed in the step that renames everything on the server, and only the ledger shows
what a killed or paused writer has committed. So it keeps the name of the stage that created it, and the
pipeline's hash says which sink owns it now. A later stage with that name gets a ledger of another name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.streams.client import StreamClient

_OWN = "_R"
"""A text that no stage name contains, but that topics and folders may contain."""


def ledger_field(stage: str) -> str:
    """Name the field of the pipeline's hash that holds the name of a stage's ledger."""
    return f"ledger:{stage}:name"


def ledger_stage(field: str) -> str:
    """Return which stage a field belongs to; empty if it is no such field."""
    kind, _, rest = field.partition(":")
    name, _, what = rest.partition(":")
    return name if kind == "ledger" and what == "name" else ""


async def ledger_names(client: StreamClient, pipeline: str) -> dict[str, str]:
    """
    Read the ledger names of the stages whose ledger has another name than the stage.

    Redis: HKEYS, then HMGET of those fields.
    """
    meta = Keyspace(pipeline).meta
    fields = [field.decode() for field in await client.channel.execute("HKEYS", meta, key=meta)]
    found = {stage: field for field in fields if (stage := ledger_stage(field))}
    if not found:
        return {}
    values = await client.channel.execute("HMGET", meta, *found.values(), key=meta)
    return {stage: value.decode() for stage, value in zip(found, values, strict=True) if value}


def after_rename(names: Mapping[str, str], old: str, new: str) -> dict[str, str]:
    """Return the ledger names after a rename, also for a later stage that is given the old name."""
    kept = names.get(old, old)
    return {new: kept, old: _another(old, {*names.values(), kept})}


def _another(stage: str, taken: Collection[str]) -> str:
    number = 1
    while f"{stage}{_OWN}{number}" in taken:
        number += 1
    return f"{stage}{_OWN}{number}"
