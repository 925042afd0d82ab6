"""Settings: the address and login of a Kafka cluster, and the options of the source and the sink."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from rsq_pipe.connectors.record_id import rid_option
from rsq_pipe.connectors.settings import Settings, names_in
from rsq_pipe.hosts import LAST_PORT, is_port
from rsq_pipe.units import Duration, Size

_BROKER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/@,\[\]]+):\d{1,5}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
Part = Literal["key", "timestamp", "topic", "partition", "offset"]


def _brokers(value: Any) -> Any:
    several = [one.strip() for one in value.split(",")] if isinstance(value, str) else value
    found = names_in(several, "brokers; write kafka-1:9092, or kafka-1:9092,kafka-2:9092")
    for one in found:
        if not _BROKER.fullmatch(one):
            raise ValueError(f"{one!r} is not HOST:PORT; write kafka-1:9092, without kafka://")
        if not is_port(one.rpartition(":")[2]):
            raise ValueError(f"{one!r} has no port from 1 to {LAST_PORT}; write kafka-1:9092")
    return tuple(found)


def check_topic(name: str) -> str:
    """Refuse names that no topic can have, with ValueError."""
    if not _TOPIC.fullmatch(name) or name in {".", ".."}:
        raise ValueError(f"{name!r} is not a topic name; it has letters, digits, `.`, `_` and `-`")
    return name


Topic = Annotated[str, AfterValidator(check_topic)]
Text = Annotated[Any, WithJsonSchema({"type": "string", "minLength": 1})]
Brokers = Annotated[tuple[str, ...], BeforeValidator(_brokers, json_schema_input_type=str | list[str])]


class Tls(Settings):
    """Certificates; what is left out is taken from the system."""

    ca: str | None = Field(default=None, description="A file with the authority that signed the brokers'.")
    cert: str | None = Field(default=None, description="A file with this client's certificate.")
    key: str | None = Field(default=None, description="A file with its key, if it is not in `cert`.")
    key_password: str | None = Field(
        default=None, repr=False, description="The key's password: `${secret:NAME}`."
    )


class Sasl(Settings):
    """A user and a password, and how they are presented to the brokers."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512",
        description="How; `PLAIN` sends the password itself, so use it only with `tls`.",
    )
    user: str = Field(min_length=1, description="The user.")
    password: str = Field(repr=False, description="The password: `${secret:NAME}`.")


class Cluster(Settings):
    """What is known of a Kafka cluster."""

    brokers: Brokers = Field(description="Some of its brokers, each HOST:PORT; they name the others.")
    tls: bool | Tls = Field(
        default=False, description="Encrypt the connections: `true`, or the certificates: `{ca: ca.pem}`."
    )
    sasl: Sasl | None = Field(default=None, description="Log in.")
    timeout: Duration = Field(
        default=30.0,
        ge=0.5,
        le=600,
        description="How long a broker may take to answer, and how long a run that is starting waits for a "
        "cluster that is away. Later it waits without end.",
    )


def _topics(value: Any) -> Any:
    names = [check_topic(one) for one in names_in(value, "a topic, or some in a list")]
    if len(set(names)) < len(names):
        raise ValueError("names a topic twice; keep one")
    return tuple(names)


class ReadOptions(Cluster):
    """Settings of the `kafka` source: the messages of topics."""

    topic: Annotated[tuple[str, ...], BeforeValidator(_topics, json_schema_input_type=str | list[str])] = (
        Field(description="A topic, or a list of them; all their partitions are read, including later ones.")
    )
    start: Literal["earliest", "latest"] = Field(
        default="earliest",
        description="Where to begin in a partition of which nothing was read yet: with its oldest message, "
        "or after its newest. One added since the first run is read from its beginning.",
    )
    until: Literal["never", "end"] = Field(
        default="never",
        description="`end`: read what is there when the run begins, then end; `never`: wait for more.",
    )
    format: Literal["json", "msgpack", "text"] = Field(
        default="json",
        description="What a message's value is: a JSON object, a msgpack map, or any text, which becomes the "
        "field `value`.",
    )
    fields: dict[str, Part] = Field(
        default={},
        description="Field -> the part of the message to put in it, besides the value's fields: `key` as "
        "text, `timestamp` as ISO 8601 in UTC, `topic`, `partition`, `offset`: `{order: key, at: "
        "timestamp}`.",
    )
    headers: bool = Field(
        default=True,
        description="Take over the message's headers that are text; with `traceparent` its trace continues. "
        "Headers that begin with `rsq-`, and one named `data`, are left out.",
    )
    committed: bool = Field(
        default=True,
        description="Leave out messages of aborted transactions, and wait for open transactions.",
    )
    lost: Literal["error", "earliest", "latest"] = Field(
        default="error",
        description="What to do if the next message is gone, or the partition is shorter than what was read: "
        "end with an error, continue with the oldest message, or after the newest.",
    )
    look: Duration = Field(default=30.0, ge=0.1, description="Time between two checks for new partitions.")


class WriteOptions(Cluster):
    """Settings of the `kafka` sink: messages of a topic."""

    expressions: ClassVar[tuple[str, ...]] = ("key", "partition")
    """The settings that are expressions; the loader has replaced them with compiled ones."""

    topic: Topic = Field(description="The topic.")
    key: Text | None = Field(
        default=None,
        description="An expression for the message's key: `customer_id`. Messages of one key go to one "
        "partition, as Java's clients choose it. Default: no key, and any partition.",
    )
    partition: Text | None = Field(
        default=None, description="An expression for the number of the partition: `region % 12`."
    )
    format: Literal["json", "msgpack"] = Field(
        default="json", description="What the message's value is: a JSON object, or a msgpack map."
    )
    headers: bool = Field(
        default=True,
        description="Write the record's headers, `rsq-rid` with its id and `traceparent` as the message's.",
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        default="none", description="How messages are packed."
    )
    max_message: Size = Field(
        default="1MiB",
        validate_default=True,
        gt=0,
        description="The largest message in bytes; a record fails if its message is larger, or if the topic "
        "does not accept it.",
    )
    ledger: Topic | None = Field(
        default=None,
        description="The topic that records which batches were written, in their transactions. Default: "
        "`rsq-pipe.PIPELINE.STAGE`. It is created, with one partition, if it does not exist.",
    )
    fresh: Literal["error", "append"] = Field(
        default="error",
        description="What `--fresh` does if the topic holds messages: end with an error, or add to them.",
    )
    rid: bool = rid_option()
