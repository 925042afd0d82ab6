"""KafkaSource: yields the messages of each partition from a position, in chunks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from rsq_pipe.connectors.endpoint import AwayError, RefusedError
from rsq_pipe.connectors.kafka.background import Background
from rsq_pipe.connectors.kafka.cluster import connection, partitions
from rsq_pipe.connectors.kafka.feed import Feed
from rsq_pipe.connectors.kafka.messages import Messages
from rsq_pipe.connectors.kafka.settings import ReadOptions
from rsq_pipe.connectors.outage import SourceBackoff, report_outage
from rsq_pipe.connectors.source import PREVIEW, Chunk
from rsq_pipe.errors import SourceError

_PAUSE = 1.0
"""Seconds between two attempts while the cluster is unreachable."""


class KafkaSource:
    """
    Read the partitions of topics, each as a shard.

    Args:
        options: The source's settings.
        stage: The stage, for messages.
        root: The folder of the certificates' files.
    """

    resumable = True

    def __init__(self, options: ReadOptions, *, stage: str, root: Path) -> None:
        self._options = options
        self._stage = stage
        self._root = root
        self._feed = Feed(options, root)
        self._messages = Messages(options)
        self._known: list[str] = []
        self._first: frozenset[str] | None = None
        self._listed_at = 0.0
        self._stops_waiting = threading.Event()
        self._closing: dict[str, threading.Event] = {}
        self._log = structlog.get_logger("rsq_pipe").bind(stage=stage)
        self._backoff = SourceBackoff(
            _PAUSE,
            _PAUSE,
            where=f"kafka at {self._where}",
            log=self._log.bind(brokers=self._where),
            away="cannot reach Kafka; trying again",
            back="Kafka answers again",
        )

    @property
    def endless(self) -> bool:
        """Whether it waits for more after it has read everything."""
        return self._options.until == "never"

    def ending(self) -> KafkaSource:
        """Return a copy of the source that ends with the messages that exist now."""
        options = self._options.model_copy(update={"until": "end"})
        return KafkaSource(options, stage=self._stage, root=self._root)

    def preview(self) -> KafkaSource:
        """Return a copy of the source for someone waiting for the first messages: it gives up soon."""
        options = self._options.model_copy(update={"timeout": min(self._options.timeout, PREVIEW)})
        return KafkaSource(options, stage=self._stage, root=self._root)

    def began(self, shards: Sequence[str]) -> None:
        """Note the first partitions: others were added, and are read from their beginning."""
        self._first = frozenset(shards)

    def shards(self) -> Sequence[str]:
        """
        Name the existing partitions, such as `orders/0`; after a `close`, those known before.

        Raises:
            SourceError: A topic does not exist, or the cluster does not answer or refuses.
        """
        if self._known and time.monotonic() < self._listed_at + self._options.look:
            return self._known
        self._stops_waiting.clear()
        given, deadline = self._given(), time.monotonic() + self._options.timeout
        found: dict[str, list[int]] | None = None
        while found is None:
            try:
                found = self._look(given)
            except RefusedError as exc:
                raise self._error(str(exc)) from exc
            except AwayError as exc:
                if self._known:
                    return self._known  # the reading waits as well
                if time.monotonic() >= deadline:
                    raise self._error(
                        f"it cannot be reached within {self._options.timeout:g} s: {exc}; check `brokers` "
                        "and `tls`, and that it runs"
                    ) from exc
                if self._stops_waiting.wait(self._backoff.fails(exc)):
                    return self._known
        self._backoff.works()
        for topic, parts in found.items():
            if not parts:
                raise self._error(f"there is no topic {topic!r}; make it, or correct `topic`")
        self._known = [f"{topic}/{part}" for topic, parts in found.items() for part in parts]
        self._listed_at = time.monotonic()
        return self._known

    def read(self, shard: str, position: str, size: int) -> Iterator[Chunk]:
        """
        Yield the messages of a partition after a position, until `close`, or up to its present end.

        Raises:
            SourceError: Messages after the position are lost, or the cluster refuses.
        """
        # Now, not when the first chunk is asked for: a `close` in between ends this reading. An earlier one
        # that has not ended yet must not take messages from this one, and can no longer be named.
        self.close(shard)
        closing = self._closing[shard] = threading.Event()
        return self._read(shard, position, size, closing)

    def _read(self, shard: str, position: str, size: int, closing: threading.Event) -> Iterator[Chunk]:
        topic, _, number = shard.rpartition("/")
        partition = TopicPartition(topic, int(number))
        self._feed.enter()
        try:
            yield from self._patiently(shard, partition, position, size, closing)
        except RefusedError as exc:
            raise self._error(f"{shard}: {exc}") from exc
        finally:
            self._feed.leave(partition, closing)

    def close(self, shard: str = "") -> None:
        """Make the reading of a shard end; of all shards, and a wait in `shards`, if none is named."""
        if not shard:
            self._stops_waiting.set()
        for name, closing in [*self._closing.items()]:
            if shard in {"", name}:
                closing.set()

    def _patiently(
        self, shard: str, partition: TopicPartition, position: str, size: int, closing: threading.Event
    ) -> Iterator[Chunk]:
        """Yield the messages, also through outages."""
        end: int | None = None
        while not closing.is_set():
            try:
                first, behind = self._feed.ends(partition)
                if position and int(position) > behind:
                    # A broker that has just become the partition's leader may not know its end yet.
                    closing.wait(_PAUSE)
                    first, behind = self._feed.ends(partition)
                end = behind if end is None else end
                offset = self._begin(shard, position, first, behind)
                self._feed.begin(partition, offset, closing)
                self._backoff.works()
                for chunk in self._chunks(shard, partition, offset, size, closing):
                    position = chunk.position
                    yield chunk
                    if not self.endless and int(position) >= end:
                        if held := self._feed.held_back(partition):
                            what = "messages behind an open transaction are left to the next run"
                            self._log.warning(what, shard=shard, messages=held)
                        return
            except AwayError as exc:
                if closing.is_set():
                    return  # a later reading of the partition is told how it fares
                closing.wait(self._backoff.fails(exc))
            except OffsetOutOfRangeError:
                closing.wait(_PAUSE / 10)  # asked again by `_begin`, which reports the loss

    def _begin(self, shard: str, position: str, first: int, behind: int) -> int:
        """Return the offset at which reading continues; SourceError if the next messages are lost."""
        if not position:
            is_new = self._first is not None and shard not in self._first
            from_first = self._options.start == "earliest" or is_new
            return first if from_first else behind
        offset = int(position)
        if first <= offset <= behind:
            return offset
        if self._options.lost == "error":
            lost = (
                f"{first - offset:,} messages that were not read are gone"
                if offset < first
                else (f"it ends at {behind:,}: it was recreated, or its last messages were lost")
            )
            raise self._error(
                f"{shard}: the next message would be {offset:,}, and {lost}; set `lost: earliest` to go on "
                "with the oldest message, or `lost: latest` to continue after the newest"
            )
        goes_on = first if self._options.lost == "earliest" else behind
        self._log.warning("messages are lost; continuing", shard=shard, expected=offset, at=goes_on)
        return goes_on

    def _chunks(
        self, shard: str, partition: TopicPartition, offset: int, size: int, closing: threading.Event
    ) -> Iterator[Chunk]:
        # First, where it begins: a run that is ended before a message comes continues there.
        yield Chunk.of((), str(offset))
        waits = False
        while not closing.is_set():
            taken = self._feed.take(partition, size, closing)
            if taken.messages or taken.after != offset or (waits and not taken.waits_for):
                offset, waits = taken.after, False
                yield self._messages.chunk(shard, taken.messages, str(offset))
            if taken.waits_for:
                report_outage(f"kafka at {self._where}: {shard}: {taken.waits_for}")
                if not waits:
                    self._log.warning("messages wait for a transaction", shard=shard, error=taken.waits_for)
                waits = True

    def _look(self, given: dict[str, object]) -> dict[str, list[int]]:
        background = Background(quoted=False)  # why it fails is told below
        try:
            return background.run(partitions(given, self._options.topic))
        finally:
            background.close()

    def _given(self) -> dict[str, object]:
        try:
            return connection(self._options, self._root)
        except RefusedError as exc:
            raise self._error(str(exc)) from exc

    @property
    def _where(self) -> str:
        return ",".join(self._options.brokers)

    def _error(self, what: str) -> SourceError:
        return SourceError(f"stage {self._stage!r}: kafka at {self._where}: {what}", stage=self._stage)
