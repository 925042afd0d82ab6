"""Settings: the settings of MQTT brokers, and of the source and the sink `mqtt`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    model_validator,
)

from rsq_pipe.connectors.record_id import rid_option
from rsq_pipe.connectors.settings import Settings, names_in
from rsq_pipe.hosts import is_port
from rsq_pipe.units import Duration

Part = Literal["topic", "retained"]
Text = Annotated[Any, WithJsonSchema({"type": "string", "minLength": 1})]


def _address(value: Any) -> Any:
    if not isinstance(value, str | int) or isinstance(value, bool):
        return value
    host, colon, port = str(value).rpartition(":")
    if not (colon and host and is_port(port)) or "/" in host:
        raise ValueError(f"{value!r} is not HOST:PORT; write broker:1883, or broker:8883 with `tls`")
    return value


def _filters(value: Any) -> Any:
    found = names_in(value, "a topic, or some in a list")
    for one in found:
        levels = one.split("/")
        if (
            not one
            or "\0" in one
            or "#" in one[:-1]
            or any(len(part) > 1 and {"+", "#"} & {*part} for part in levels)
        ):
            raise ValueError(f"{one!r} is not a topic filter; write sensors/kitchen, sensors/+ or sensors/#")
    return tuple(found)


def _topic(value: str) -> str:
    if not value or {"+", "#", "\0"} & {*value}:
        raise ValueError(f"{value!r} is not a topic to write to; leave + and # out")
    return value


class Broker(Settings):
    """What is known of a broker."""

    broker: Annotated[str, BeforeValidator(_address)] = Field(description="Its address: `broker:1883`.")
    tls: bool = Field(default=False, description="Encrypt the connection.")
    ca: str | None = Field(default=None, description="A file with the authority that signed its certificate.")
    user: str = Field(default="", description="The user.")
    password: str = Field(default="", repr=False, description="The password: `${secret:NAME}`.")
    client_id: str | None = Field(
        default=None,
        min_length=1,
        description="The name of the session at the broker. Default: `rsq-pipe.PIPELINE.STAGE`.",
    )
    timeout: Duration = Field(
        default=30.0,
        ge=0.1,
        le=600,
        description="How long the broker may take to answer, and to be reached when a run begins.",
    )


class ReadSettings(Broker):
    """Settings of the `mqtt` source: messages of topics."""

    topic: Annotated[tuple[str, ...], BeforeValidator(_filters, json_schema_input_type=str | list[str])] = (
        Field(description="A filter of topics, or a list of them: `sensors/#`, `sensors/+/state`.")
    )
    qos: Literal[0, 1] = Field(
        default=1, description="1: the broker keeps a message until it is stored; 0: what is lost stays lost."
    )
    format: Literal["json", "text"] = Field(
        default="json",
        description="What a message is: a JSON object, or text, which becomes the field `value`.",
    )
    fields: dict[str, Part] = Field(
        default={}, description="Field -> the part of the message to put in it: `{sensor: topic}`."
    )


class WriteSettings(Broker):
    """Settings of the `mqtt` sink: a message for each record."""

    expressions: ClassVar[tuple[str, ...]] = ("topic_by",)
    """The settings that are expressions; the loader has replaced them with compiled ones."""

    topic: Annotated[str, AfterValidator(_topic)] | None = Field(default=None, description="The topic.")
    topic_by: Text | None = Field(
        default=None, description="An expression for the topic of each record: `'sensors/' + sensor`."
    )
    qos: Literal[0, 1] = Field(
        default=1, description="1: each message is sent until the broker has it; 0: once, come what may."
    )
    retain: bool = Field(default=False, description="Have the broker keep the last message of each topic.")
    rid: bool = rid_option()

    @model_validator(mode="after")
    def _one_topic(self) -> Self:
        if (self.topic is None) == (self.topic_by is None):
            raise ValueError("write one of `topic` and `topic_by`")
        return self
