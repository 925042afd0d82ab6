"""Settings: where a Kafka cluster is, and how this client proves who it is."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rsq_pipe.hosts import LAST_PORT, is_port
from rsq_pipe.units import Duration

_BROKER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/@,\[\]]+):\d{1,5}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


def _brokers(value: Any) -> Any:
    found = [one.strip() for one in value.split(",")] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not found or not all(isinstance(one, str) for one in found):
        raise ValueError("must name brokers; write kafka-1:9092, or kafka-1:9092,kafka-2:9092")
    for one in found:
        if not _BROKER.fullmatch(one):
            raise ValueError(f"{one!r} is not HOST:PORT; write kafka-1:9092, without kafka://")
        if not is_port(one.rpartition(":")[2]):
            raise ValueError(f"{one!r} has no port from 1 to {LAST_PORT}; write kafka-1:9092")
    return tuple(found)


def check_topic(name: str) -> str:
    """Refuse what can be no topic; ValueError."""
    if not _TOPIC.fullmatch(name) or name in {".", ".."}:
        raise ValueError(f"{name!r} is no name of a topic; it has letters, digits, `.`, `_` and `-`")
    return name


Brokers = Annotated[tuple[str, ...], BeforeValidator(_brokers, json_schema_input_type=str | list[str])]


class Group(BaseModel):
    """A group of settings; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(Group):
    """Certificates; what is left out is as the system has it."""

    ca: str | None = Field(default=None, description="A file with the authority that signed the brokers'.")
    cert: str | None = Field(default=None, description="A file with this client's certificate.")
    key: str | None = Field(default=None, description="A file with its key, where it is not in `cert`.")
    key_password: str | None = Field(
        default=None, repr=False, description="The key's password: `${secret:NAME}`."
    )


class Sasl(Group):
    """A user and a password, and how they are shown to the brokers."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How; `PLAIN` sends the password, so use it with `tls` only."
    )
    user: str = Field(min_length=1, description="The user.")
    password: str = Field(repr=False, description="The password: `${secret:NAME}`.")


class Cluster(Group):
    """What is known of a Kafka cluster."""

    brokers: Brokers = Field(description="Some of its brokers, each HOST:PORT; they tell of the others.")
    tls: bool | Tls = Field(
        default=False, description="Talk to them encrypted: `true`, or the certificates: `{ca: ca.pem}`."
    )
    sasl: Sasl | None = Field(default=None, description="Log in.")
    timeout: Duration = Field(
        default=30.0,
        ge=0.5,
        le=600,
        description="How long a broker may take to answer, and how long a run that begins waits for a "
        "cluster that is away. Later it is waited for without end.",
    )
