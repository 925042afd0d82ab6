"""WriteOptions: what the sink `kafka` is told."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from rsq_pipe.connectors.kafka.settings import Cluster, check_topic
from rsq_pipe.connectors.record_id import rid_option
from rsq_pipe.units import Size

Topic = Annotated[str, AfterValidator(check_topic)]
Text = Annotated[Any, WithJsonSchema({"type": "string", "minLength": 1})]


class WriteOptions(Cluster):
    """Settings of the `kafka` sink: messages of a topic."""

    expressions: ClassVar[tuple[str, ...]] = ("key", "partition")
    """The settings that are expressions; whoever reads the file has put them in compiled."""

    topic: Topic = Field(description="The topic.")
    key: Text | None = Field(
        default=None,
        description="An expression for the message's key: `customer_id`. Messages of one key go to one "
        "partition, as Java's clients choose it. Left out: no key, and any partition.",
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
        description="Bytes of one message, at most; a larger one is a failure of its record, and so is one "
        "that the topic does not take.",
    )
    ledger: Topic | None = Field(
        default=None,
        description="The topic that holds which batches were written, in their transactions; left out: "
        "`rsq-pipe.PIPELINE.STAGE`. It is made, with one partition, if it is not there.",
    )
    fresh: Literal["error", "append"] = Field(
        default="error",
        description="What `--fresh` does when the topic holds messages: end with an error, or write behind "
        "them.",
    )
    rid: bool = rid_option()
