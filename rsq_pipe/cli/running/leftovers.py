"""Leftovers: `run --rename` and `--discard`, for stages that the file no longer has."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from itertools import chain, count
from pathlib import Path

import rich_click as click

from rsq_pipe.cli.options.server_address import connect
from rsq_pipe.cli.output.printable import remark
from rsq_pipe.engine.changes.change import compare
from rsq_pipe.engine.changes.choices import refusal
from rsq_pipe.engine.changes.last_run import describe
from rsq_pipe.engine.changes.past import read_past
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.errors import PipelineChangedError, RsqPipeError, SettleError, UnknownStageError
from rsq_pipe.ops.discard import Discarded, check_discard, discard
from rsq_pipe.ops.rename import check_rename, rename
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.units import counted

Rename = tuple[str, str]


class RenameType(click.ParamType[Rename]):
    """Two names, `old=new`."""

    name = "old=new"

    def convert(
        self, value: str | Rename, param: click.Parameter | None, ctx: click.Context | None
    ) -> Rename:
        if isinstance(value, tuple):
            return value
        old, _, new = value.partition("=")
        if not old or not new:
            self.fail(f"{value!r} is not OLD=NEW: the name a stage had, and the one it has now", param, ctx)
        return old, new


rename_option = click.option(
    "--rename",
    "renames",
    type=RenameType(),
    multiple=True,
    metavar="OLD=NEW",
    help="Before running, give everything that stage OLD holds to stage NEW of the file; may be given again.",
)
discard_option = click.option(
    "--discard",
    "discards",
    multiple=True,
    metavar="STAGE",
    help="Before running, write what a stage no longer in SPEC holds to a file in the current folder, and "
    "delete it; may be given again.",
)


async def settle_leftovers(
    address: str, graph: Graph, renames: Sequence[Rename], discards: Sequence[str]
) -> None:
    """
    Rename and discard stages as requested, and report it; nothing if the run would be refused after it.

    Raises:
        click.UsageError: A name fits neither the file nor the last run.
        PipelineChangedError: Something else would be stranded; nothing was done.
        PipelineBusyError: A process runs the pipeline.
    """
    async with connect(address) as client:
        try:
            await _check(client, graph, renames, discards)
            for stage in dict.fromkeys(discards):
                gone = await _discard(client, graph, stage)
                are = "is" if gone.exported == 1 else "are"
                kept = f"; {counted(gone.exported, 'record')} {are} in {gone.file}" if gone.exported else ""
                remark(f"{graph.pipeline}: discarded of stage {stage!r}: {gone.held}{kept}")
            for old, new in renames:
                done = "takes over" if await rename(client, graph, old, new) else "has taken over already"
                remark(f"{graph.pipeline}: stage {new!r} {done} all that {old!r} held")
        except UnknownStageError as exc:
            raise click.UsageError(str(exc)) from exc
        except SettleError as exc:
            if "BUSYKEY" not in exc.reply:
                raise
            raise click.UsageError(
                f"a stage of the new name has been run, too, and holds something of its own: {exc.reply}; "
                "discard one of the two"
            ) from exc


async def _check(
    client: StreamClient, graph: Graph, renames: Sequence[Rename], discards: Sequence[str]
) -> None:
    """
    Refuse a request that names only some of the stages that need it.

    After half of it the stored graph would be that of no file, and the last one would be refused, too.
    """
    await Presence(client, graph.pipeline).refuse_others()
    past = await read_past(client, graph.pipeline)
    for stage in discards:
        check_discard(graph, past, stage)
    for old, new in renames:
        check_rename(graph, past, old, new)
    found = compare(graph.pipeline, past, describe(graph)).with_heirs(dict(renames))
    named = {*discards, *(old for old, _ in renames)}
    unnamed = [change.stage for change in found.stranded if change.stage not in named]
    if unnamed:
        raise PipelineChangedError(partial(refusal, graph, found, unnamed=unnamed), stages=unnamed)


async def _discard(client: StreamClient, graph: Graph, stage: str) -> Discarded:
    file = _new_file(graph.pipeline, stage)
    try:
        return await discard(client, graph, stage, file)
    except OSError as exc:
        what = f"{Path.cwd() / file} cannot be written: {exc.strerror}"
        raise RsqPipeError(f"{what}; nothing of stage {stage!r} was taken away") from exc


def _new_file(pipeline: str, stage: str) -> Path:
    """Choose an unused file name: two may be written in one second."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name = f"{pipeline}-{stage}-discarded-{stamp}"
    names = chain([f"{name}.jsonl"], (f"{name}-{number}.jsonl" for number in count(2)))
    return next(path for path in map(Path, names) if not path.exists())
