"""RedisSink: writes each batch to a Redis server, in one script with its row of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, Literal, TypeVar

from msgspec.structs import replace

from rsq_pipe import redaction
from rsq_pipe.connectors.ledger.ledger import Ledger, LostPlaceError, Row, warn_of_lost_batches
from rsq_pipe.connectors.loop_thread import LoopThread
from rsq_pipe.connectors.redis.commands import TYPES, Commands, Words
from rsq_pipe.connectors.redis.options import WHOLE, Options
from rsq_pipe.connectors.redis.template import parse_template
from rsq_pipe.connectors.sink import TargetBusyError, TargetUnavailableError, Written
from rsq_pipe.errors import EncodeError, SinkError, StreamError, StreamFullError
from rsq_pipe.model.batch import Batch
from rsq_pipe.streams.channel import Channel
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.script import SINK_OPEN, SINK_WRITE

T = TypeVar("T")

CONNECTIONS = 2
"""Maximum number of commands in progress."""

PATIENCE = 5.0
"""Seconds that another command waits for its turn."""

_FIELDS = ("epoch", "seq", "settled", "carried", "rids")


class RedisSink:
    """
    Write records to keys, each once, on the pipeline's own server or another.

    A batch is one script, which advances the ledger's row if it still has this writer's epoch, and writes the
    records that are not in the keys yet. So it works like `LedgerSink` with a database.

    Args:
        options: The sink's settings.
        stage: The stage, for messages.
        pipeline, ledger: The ledger's owner, and its name.
        client: The pipeline's own server.
    """

    guarantee: ClassVar[Literal["exactly-once", "at-least-once"]] = "exactly-once"
    exclusive: ClassVar[bool] = True

    def __init__(
        self, options: Options, *, stage: str, pipeline: str, ledger: str, client: StreamClient | None
    ) -> None:
        self._options = options
        self._stage = stage
        # A connection of its own, even to the pipeline's server: it is used in a separate loop.
        self._channel = channel_of(options.url) if options.url else beside(client) if client else None
        self._commands = Commands(options)
        template = parse_template(options.key)
        self._fixed = template.key({}) if template.is_fixed else ""
        tag = f"{{{template.tag}}}:" if template.tag else ""
        self._key = f"rsq-ledger:{tag}{pipeline}:{ledger}"
        self._ledger: Ledger | None = None
        self._loop: LoopThread | None = None
        self.target = f"redis {options.kind} {options.key}"

    def open(
        self, position: str | None, *, fresh: bool = False, still: Callable[[], bool] = lambda: True
    ) -> str:
        """Raise the ledger's epoch, and find out what was written but not settled."""
        self._ledger = None
        self._loop = self._loop or LoopThread("redis")
        row = self._row()
        if not still():
            raise TargetBusyError("another process has become its writer")
        doomed = self._start_over() if fresh else []
        try:
            anew = Row(row.epoch, 0, 0) if fresh else row
            ledger = Ledger(replace(anew, epoch=row.epoch + 1), None if fresh else position)
        except LostPlaceError as exc:
            raise self._error(
                f"{exc}: one of the servers was restored to an earlier state, or another pipeline of this "
                "name writes the keys; look which records are missing, and then --fresh starts over"
            ) from exc
        self._check_json()
        # A process that was paused before this finds out that another has raised the epoch since.
        opened = self._run(self._script(SINK_OPEN, [self._key, *doomed], [row.epoch, int(fresh)]))
        if not opened:
            raise TargetBusyError("another process is opening it")
        warn_of_lost_batches(ledger, self._stage, self.target)
        self._ledger = ledger
        return ledger.position

    def check_anew(self) -> None:
        """Check whether `--fresh` may start over."""
        self._loop = LoopThread("redis")
        try:
            self._start_over()
            self._check_json()
        finally:
            self.close()

    def write(self, batch: Batch) -> Written:
        """Write the records of a batch that are not in the keys yet."""
        assert self._ledger is not None, "the sink is not open"
        places = self._ledger.unwritten(batch.rids)
        some = batch if len(places) == len(batch) else batch.only(places)
        found, failures = self._commands.of(some)
        while True:
            failed = {places[at]: exc for at, exc in failures.items()}
            row = self._ledger.next(batch.rids, failed)
            keys = list(dict.fromkeys(key for key, _ in found.values()))
            reply = self._run(self._script(SINK_WRITE, [self._key, *keys], self._words(row, keys, found)))
            if reply[0] == 1:
                break
            if reply[0] == 0:
                raise self._error("another process has opened it since: a pipeline of this name elsewhere?")
            wrong = {keys[place - 2] for place in reply[1:]}
            for at, (key, _) in list(found.items()):
                if key in wrong:
                    what = f"the key {key!r} holds no {self._options.kind.replace('_', ' ')}"
                    failures[at] = EncodeError(what, some.records[at])
                    del found[at]
        self._ledger.committed(row)
        return Written(str(row.seq), failed)

    def close(self) -> None:
        """Close the connections."""
        self._ledger = None
        loop, self._loop = self._loop, None
        if loop is not None:
            if self._channel is not None:
                loop.run(self._channel.close())
            loop.close()

    def _words(
        self, row: Row, keys: Sequence[str], found: dict[int, tuple[str, list[Words]]]
    ) -> list[str | bytes | int]:
        places = {key: place for place, key in enumerate(keys, 2)}
        words: list[str | bytes | int] = [row.epoch, row.seq, row.settled, row.carried, row.rids]
        words.append(TYPES.get(self._options.kind, ""))
        for key, commands in found.values():
            for command in commands:
                words += (places[key], len(command) - 1)
                words += command
        return words

    def _row(self) -> Row:
        found = self._run(self._execute("HMGET", self._key, *_FIELDS, key=self._key))
        epoch, seq, settled, carried, rids = ((one or b"").decode() for one in found)
        return Row(int(epoch or 0), int(seq or 0), int(settled or 0), carried or "[]", rids or "[]")

    def _start_over(self) -> list[str]:
        """List the keys to delete, as `fresh` requires."""
        if not self._fixed or self._options.kind in {*WHOLE, "pubsub"} or self._options.fresh == "keep":
            return []
        if self._options.fresh == "empty":
            return [self._fixed]
        if self._run(self._execute("EXISTS", self._fixed, key=self._fixed)):
            raise self._error(
                "it holds something, and --fresh would write all records again; set `fresh: empty` to "
                "delete what it holds, or `fresh: keep` to add to it"
            )
        return []

    def _check_json(self) -> None:
        if self._options.kind != "json":
            return
        found = self._run(self._execute("COMMAND", "INFO", "JSON.SET", key=self._key))
        if not found or not found[0]:
            raise self._error(
                "the server has no JSON: use Redis 8, or load the module; or `kind: hash` or `kind: string`"
            )

    async def _script(self, script: Any, keys: Sequence[str], words: Sequence[str | bytes | int]) -> Any:
        return await self._server.run(script, keys, words)

    async def _execute(self, *command: str, key: str) -> Any:
        return await self._server.execute(*command, key=key)

    @property
    def _server(self) -> Channel:
        if self._channel is None:
            raise self._error("there is no server here; name one by `url`")
        return self._channel

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        try:
            return self._loop.run(work)
        except StreamError as exc:
            if exc.retryable or isinstance(exc, StreamFullError):
                raise TargetUnavailableError(str(exc)) from exc
            hint = ""
            if "CROSSSLOT" in str(exc):
                hint = (
                    "; in a cluster all keys must be in one slot: give `key` a hash tag, {{shop}}:order:{id}"
                )
            raise self._error(f"{exc}{hint}") from exc

    def _error(self, why: str) -> SinkError:
        return SinkError(f"stage {self._stage!r}: {self.target}: {why}", stage=self._stage)


def channel_of(url: str) -> Channel:
    """Create a channel to another server; its password is masked from now on."""
    redaction.add_url(url)
    return StreamClient.from_url(url, client_name="rsq-pipe").channel


def beside(client: StreamClient) -> Channel:
    """Create another channel to a client's server."""
    channel = client.channel
    return Channel(channel.endpoint, bound=CONNECTIONS, patience=PATIENCE, timeout=channel.timeout)


async def ping(url: str, seconds: float) -> None:
    """Check that a server answers; StreamError if not."""
    channel = channel_of(url)
    try:
        await channel.execute("PING", key="", timeout=seconds)
    finally:
        await channel.close()
