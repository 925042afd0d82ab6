"""KafkaSink: writes each batch to a topic, in one transaction with its row of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from rsq_pipe.connectors.endpoint import AwayError, RefusedError
from rsq_pipe.connectors.kafka import ledger_topic
from rsq_pipe.connectors.kafka.background import Background
from rsq_pipe.connectors.kafka.cluster import connection, describe_topics, holds_messages, make_topic
from rsq_pipe.connectors.kafka.outgoing import Outgoing
from rsq_pipe.connectors.kafka.producer import Message, MessageRefusedError, Producer
from rsq_pipe.connectors.kafka.settings import WriteOptions
from rsq_pipe.connectors.ledger.ledger import Ledger, LostPlaceError, Row, warn_of_lost_batches
from rsq_pipe.connectors.sink import TargetBusyError, TargetUnavailableError, Written
from rsq_pipe.errors import EncodeError, SinkError
from rsq_pipe.model.batch import Batch

T = TypeVar("T")

MAX_ROW = 900_000
"""Maximum bytes of a row of the ledger, compressed; topics take a million."""


class KafkaSink:
    """
    Write records to a topic; readers of committed messages see each once.

    A batch is one transaction: its messages, and a row of the ledger with the ids of its records. Then the
    runner settles the batch and stores the row's number. A process that opens the sink begins with its
    transactional id: from then on no batch of an earlier writer is committed, and everything committed before
    is in the last row, which is read after that.

    Args:
        options: The sink's settings.
        stage: The stage, for messages.
        root: The folder of the certificates' files.
        pipeline: The pipeline, for names.
        ledger: The name of the ledger and the transactions.
    """

    guarantee: ClassVar[Literal["exactly-once", "at-least-once"]] = "exactly-once"
    exclusive: ClassVar[bool] = True

    def __init__(self, options: WriteOptions, *, stage: str, root: Path, pipeline: str, ledger: str) -> None:
        self._options = options
        self._stage = stage
        self._root = root
        self._ledger_topic = options.ledger or f"rsq-pipe.{pipeline}.{ledger}"
        self._id = f"rsq-pipe.{pipeline}.{ledger}.{options.topic}"
        self._outgoing = Outgoing(options)
        self._background: Background | None = None
        self._producer: Producer | None = None
        self._partitions = 0
        self._ledger: Ledger | None = None
        self._still: Callable[[], bool] = lambda: True
        self.target = f"kafka topic {options.topic}"

    def open(
        self, position: str | None, *, fresh: bool = False, still: Callable[[], bool] = lambda: True
    ) -> str:
        """Fence earlier writers, and find out what was committed but not settled."""
        self._ledger, self._still = None, still
        try:
            self._look()
            self._become_writer()
            given = connection(self._options, self._root)
            last = ledger_topic.last_row(given, self._ledger_topic, self.target, self._options.timeout)
            row = self._run(last) or Row(0, 0, 0)
            if fresh:
                self._check_fresh()
                row = Row(row.epoch, 0, 0)
                position = None
            row = Row(row.epoch + 1, row.seq, row.settled, row.carried, row.rids)
            ledger = Ledger(row, position)
            if fresh:
                self._commit([], row)
        except RefusedError as exc:
            raise self._error(str(exc)) from exc
        except LostPlaceError as exc:
            raise self._error(
                f"{exc}: the cluster or the server was restored to an earlier state, or another pipeline of "
                "this name writes the topic; look which records it lacks, and then --fresh starts over"
            ) from exc
        except AwayError as exc:
            raise self._away(exc) from exc
        warn_of_lost_batches(ledger, self._stage, self.target)
        self._ledger = ledger
        return ledger.position

    def check_anew(self) -> None:
        """Check whether `--fresh` may start over."""
        try:
            self._look()
            self._check_fresh()
        except RefusedError as exc:
            raise self._error(str(exc)) from exc
        except AwayError as exc:
            raise self._away(exc) from exc
        finally:
            self._give_up()

    def write(self, batch: Batch) -> Written:
        """Write the records of a batch that were not committed yet."""
        assert self._ledger is not None, "the sink is not open"
        places = self._ledger.unwritten(batch.rids)
        try:
            messages, failures = self._messages(batch, places)
            row = self._ledger.next(batch.rids, failures)
            try:
                self._commit([*messages.values()], row)
            except MessageRefusedError as exc:
                bad = self._refused(messages)
                if not bad:
                    raise AwayError(f"it refused messages that it takes one by one: {exc}") from exc
                failures |= bad
                row = self._ledger.next(batch.rids, failures)
                self._become_writer()
                self._commit([one for place, one in messages.items() if place not in bad], row)
        except RefusedError as exc:
            raise self._error(str(exc)) from exc
        except (AwayError, MessageRefusedError) as exc:
            raise self._away(exc) from exc
        self._ledger.committed(row)
        return Written(str(row.seq), failures)

    def close(self) -> None:
        """Close the connections."""
        self._ledger = None
        self._give_up()

    def _look(self) -> None:
        """Read the topic's properties, and create the ledger's topic if it does not exist."""
        self._give_up()
        self._background = Background()
        given, options = connection(self._options, self._root), self._options
        found, ledger = self._run(describe_topics(given, (options.topic, self._ledger_topic)))
        if not found.partitions:
            raise RefusedError("there is no such topic; make it, or correct `topic`")
        if found.is_compacted and options.key is None:
            raise RefusedError("it is compacted, and takes no message without a key; set `key`")
        self._outgoing.needs_key = found.is_compacted
        self._partitions = found.partitions
        if not ledger.partitions:
            self._run(make_topic(given, self._ledger_topic, {"cleanup.policy": "compact"}))

    def _become_writer(self) -> None:
        """Fence earlier writers; then check that this process is not an earlier one itself."""
        self._give_up()
        self._background = Background()
        self._producer = self._run(self._made())
        # After that, and before anything is committed: a process that was paused just here has fenced its
        # successor, which begins again; it must not write records that the successor may have written.
        if not self._still():
            raise TargetBusyError("another process has become its writer")

    async def _made(self) -> Producer:
        packed = None if self._options.compression == "none" else self._options.compression
        largest = max(self._options.max_message, MAX_ROW) + 10_000  # including a message's overhead
        producer = Producer(
            connection(self._options, self._root),
            self._id,
            self._options.timeout,
            max_request_size=largest,
            compression_type=packed,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.close()
            raise
        return producer

    def _messages(
        self, batch: Batch, places: Sequence[int]
    ) -> tuple[dict[int, Message], dict[int, Exception]]:
        messages, failures = self._outgoing.messages(batch, places, self._partitions)
        if self._outgoing.is_beyond:
            # The topic may have been given more since.
            assert self._producer is not None
            self._partitions = self._run(self._producer.partitions(self._options.topic))
            messages, failures = self._outgoing.messages(batch, places, self._partitions)
        return messages, failures

    def _commit(self, messages: list[Message], row: Row) -> None:
        assert self._producer is not None
        kept = ledger_topic.message(self._ledger_topic, self.target, row)
        if len(kept.value) > MAX_ROW:
            raise RefusedError("the ids of its records are too long for a message; write fewer at once")
        self._run(self._producer.commit([*messages, kept]))

    def _refused(self, messages: Mapping[int, Message]) -> dict[int, Exception]:
        """Find, in ever smaller parts, the messages that are refused; each part by a new writer."""
        self._become_writer()  # after an error, a producer's numbers have a gap
        assert self._producer is not None
        try:
            self._run(self._producer.try_out([*messages.values()]))
        except MessageRefusedError as exc:
            if len(messages) == 1:
                why = type(exc.__cause__).__name__
                (place,) = messages
                return {place: EncodeError(f"{self.target} does not take the record: {why}")}
        else:
            return {}
        places = [*messages]
        halves = places[: len(places) // 2], places[len(places) // 2 :]
        return {
            place: error
            for half in halves
            for place, error in self._refused({place: messages[place] for place in half}).items()
        }

    def _check_fresh(self) -> None:
        if self._options.fresh == "append":
            return
        given = connection(self._options, self._root)
        held = self._run(holds_messages(given, self._options.topic, self._partitions, self._options.timeout))
        if held:
            raise RefusedError(
                "it holds messages, and --fresh would write all records again; set `fresh: append` to "
                "keep them, or recreate the topic"
            )

    def _give_up(self) -> None:
        background, self._background = self._background, None
        producer, self._producer = self._producer, None
        if background is None:
            return
        if producer is not None:
            background.run(producer.close())
        background.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._background is not None
        return self._background.run(work)

    def _away(self, exc: Exception) -> TargetUnavailableError:
        where = ",".join(self._options.brokers)
        return TargetUnavailableError(f"{self.target} at {where}: {exc}")

    def _error(self, why: str) -> SinkError:
        return SinkError(f"stage {self._stage!r}: {self.target}: {why}", stage=self._stage)
