"""ReadOptions: what the source `kafka` is told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from rsq_pipe.connectors.kafka.settings import Cluster, check_topic
from rsq_pipe.units import Duration

Part = Literal["key", "timestamp", "topic", "partition", "offset"]


def _topics(value: Any) -> Any:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not found or not all(isinstance(one, str) for one in found):
        raise ValueError("must name a topic, or some in a list")
    names = [check_topic(one) for one in found]
    if len(set(names)) < len(names):
        raise ValueError("names a topic twice; keep one")
    return tuple(names)


class ReadOptions(Cluster):
    """Settings of the `kafka` source: the messages of topics."""

    topic: Annotated[tuple[str, ...], BeforeValidator(_topics, json_schema_input_type=str | list[str])] = (
        Field(
            description="A topic, or a list of them; all their partitions are read, those too that are added."
        )
    )
    start: Literal["earliest", "latest"] = Field(
        default="earliest",
        description="Where a partition begins of which nothing was read yet: with the oldest message it has, "
        "or behind the newest. One that was added since the first run is read from its beginning.",
    )
    until: Literal["never", "end"] = Field(
        default="never",
        description="`end`: read what is there when the run begins, and end; `never`: wait for more.",
    )
    format: Literal["json", "msgpack", "text"] = Field(
        default="json",
        description="What a message's value is: a JSON object, a msgpack map, or any text, which becomes the "
        "field `value`.",
    )
    fields: dict[str, Part] = Field(
        default={},
        description="Field -> the part of the message that it gets, beside what the value holds: `key` as "
        "text, `timestamp` as ISO 8601 in UTC, `topic`, `partition`, `offset`: `{order: key, at: "
        "timestamp}`.",
    )
    headers: bool = Field(
        default=True,
        description="Take the message's headers over, those that are text; with `traceparent` its trace goes "
        "on. Headers that begin with `rsq-`, and one named `data`, stay behind.",
    )
    committed: bool = Field(
        default=True,
        description="Leave out messages of transactions that were aborted, and wait for those under way.",
    )
    lost: Literal["error", "earliest", "latest"] = Field(
        default="error",
        description="What to do where the next message is not there any more, or the partition is shorter "
        "than what was read: end with an error, go on with the oldest there is, or behind the newest.",
    )
    look: Duration = Field(
        default=30.0, ge=0.1, description="Time between two looks for partitions that were added."
    )
