"""DlqRequest: which dead letters of which pipeline on which server; common to all `dlq` commands."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import rich_click as click
from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe import redaction
from rsq_pipe.cli.options.dead_letter_types import DeadLetterNameType, Since, SinceType, WhereType
from rsq_pipe.cli.options.server_address import address_of_runs, connect, redis_option
from rsq_pipe.cli.options.stage_name import STAGE
from rsq_pipe.engine.failures.located import located
from rsq_pipe.errors import NeverRanError, RsqPipeError, SettleError, StreamError, UnknownStageError
from rsq_pipe.ops.as_run import as_run
from rsq_pipe.ops.dead_letters.dead_letters import DeadLetters, find
from rsq_pipe.ops.dead_letters.selection import DeadLetterName, Selection
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.spec.fields import NAME_PATTERN
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient


class DlqRequest(Struct, frozen=True):
    """
    Hold the arguments of a command.

    Args:
        pipeline: The pipeline's name.
        graph: Its spec, if the pipeline was named by its file.
        url: The server, if one was given.
        selection: The dead letters to select.
        as_json: Whether to print JSON.
    """

    pipeline: str
    graph: Graph | None
    url: str | None
    selection: Selection
    as_json: bool

    def only(self, **changes: Any) -> DlqRequest:
        """Return the request with another selection."""
        return replace(self, selection=replace(self.selection, **changes))

    @contextmanager
    def server(self) -> Iterator[str]:
        """Return the server's address; an embedded one is started or joined."""
        if self.graph is None:
            assert self.url, "checked when the request was made"
            yield self.url
            return
        with address_of_runs(self.graph, self.url) as address:
            yield address

    @asynccontextmanager
    async def dead_letters(self, address: str) -> AsyncIterator[DeadLetters]:
        """Find the selected dead letters; an unknown stage is a usage error, as in other commands."""
        redaction.add_url(address)
        async with connect(address) as client:
            try:
                yield await self._found(client)
            except SettleError as exc:
                raise await self._located(client, exc) from exc.__cause__

    async def _found(self, client: StreamClient) -> DeadLetters:
        try:
            return await find(client, self.pipeline, self.graph, self.selection)
        except UnknownStageError as exc:
            raise click.UsageError(str(exc)) from exc

    async def _located(self, client: StreamClient, exc: SettleError) -> RsqPipeError:
        """Add which key it is about; without a file, according to the stages known to the server."""
        try:
            graph = self.graph or (await as_run(client, self.pipeline)).graph
        except (NeverRanError, StreamError):
            return exc
        return await located(client, graph, exc)


def dlq_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add to a command the argument PIPELINE and the selecting options, as one DlqRequest."""

    @wraps(command)
    def gathered(  # noqa: PLR0917  one parameter per option
        spec: str,
        url: str | None,
        stages: tuple[str, ...],
        where: Expression | None,
        since: Since | None,
        ids: tuple[DeadLetterName, ...],
        limit: int | None,
        as_json: bool,
        **others: Any,
    ) -> Any:
        name, graph = _addressed(spec, url)
        age, moment = since or (None, None)
        selection = Selection(stages, where, since=moment, age=age, names=ids, limit=limit)
        return command(DlqRequest(name, graph, url, selection, as_json), **others)

    wrapped: Callable[..., Any] = gathered
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _refuse_all(_ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    """Answer what other programs want to be told."""
    if asked:
        what = "all dead letters are meant where no --stage, --where, --since or --id says which"
        raise click.UsageError(f"{what}; leave --all out")


_OPTIONS = (
    click.argument("spec", metavar="PIPELINE"),
    redis_option,
    click.option("--stage", "stages", type=STAGE, multiple=True, help="Of this stage; may be given again."),
    click.option(
        "--where",
        type=WhereType(),
        metavar="EXPR",
        help="For which this expression is true. It sees the payload's fields by name, and "
        "`dlq['reason']`, `headers['tenant']`, `payload`. A field that is missing means no.",
    ),
    click.option(
        "--since",
        type=SinceType(),
        metavar="WHEN",
        help="Written since then: 1h, 2026-11-23, 2026-11-23T08:00 (UTC unless it has an offset).",
    ),
    click.option("--all", is_flag=True, hidden=True, expose_value=False, callback=_refuse_all),
    click.option(
        "--id",
        "ids",
        type=DeadLetterNameType(),
        multiple=True,
        metavar="ID",
        help="This one, by entry id or stage/id; may be given again.",
    ),
    click.option(
        "--limit", type=click.IntRange(1), metavar="N", help="At most so many, oldest of each stage first."
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line."),
)


def _addressed(text: str, url: str | None) -> tuple[str, Graph | None]:
    path = Path(text)
    if path.is_file() or path.suffix in (".yaml", ".yml") or "/" in text:
        graph = load(path, operate=True)
        redaction.add(graph.secrets)
        return graph.pipeline, graph
    if not re.fullmatch(NAME_PATTERN, text):
        raise click.UsageError(f"{text!r} is neither a pipeline's file nor a pipeline's name")
    if not url:
        raise click.UsageError(
            f"there is no file {text!r}; if it is a pipeline's name, say --redis URL as well"
        )
    return text, None
