"""Cluster: requests to a Kafka cluster other than for records, and its errors."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from msgspec import Struct

from rsq_pipe.connectors.endpoint import AwayError, RefusedError, UnreachableError
from rsq_pipe.connectors.kafka.background import Background, last_trouble
from rsq_pipe.connectors.kafka.settings import Cluster, Tls

_REFUSED = (
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.TransactionalIdAuthorizationFailed,
    errors.InvalidTopicError,
    errors.UnknownTopicOrPartitionError,
    errors.UnsupportedVersionError,
    errors.IncompatibleBrokerVersion,
    errors.UnsupportedForMessageFormatError,
    errors.PolicyViolationError,
    errors.InvalidReplicationFactorError,
    errors.InvalidPartitionsError,
    errors.InvalidConfigurationError,
    errors.InvalidTransactionTimeout,
)
"""Errors that waiting does not help with."""

_NUMBER = re.compile(r"^\[Err(or|no) -?\d+\] ")
"""What precedes some messages, and says no more than they do."""

_FRESH = 10.0
"""Seconds in which what the client logged explains what it raises; it tries again ten times a second."""

FAULTS = (errors.KafkaError, OSError, TimeoutError, asyncio.TimeoutError)
"""Errors of a client if the cluster is unreachable, or refuses something."""


def sorted_out(exc: BaseException) -> RefusedError | AwayError:
    """
    Translate an error of the client into one that says whether waiting helps, or what else does.

    Call it in the client's thread.
    """
    trouble = last_trouble()
    gave_up = isinstance(exc, errors.KafkaTimeoutError | TimeoutError) or "Unable to bootstrap" in str(exc)
    if gave_up and trouble is not None and time.monotonic() - trouble.at < _FRESH:
        exc = trouble.cause or exc
    text = server_message(exc)
    if isinstance(exc, ssl.SSLCertVerificationError) or isinstance(
        exc.__cause__, ssl.SSLCertVerificationError
    ):
        return RefusedError(
            f"its certificate is not trusted: {text}; name the authority by `tls: {{ca: FILE}}`"
        )
    if isinstance(exc, ssl.SSLError):
        return RefusedError(f"a TLS connection there fails: {text}; correct `tls`, or the port in `brokers`")
    if not isinstance(exc, _REFUSED):
        return AwayError(text)
    if isinstance(exc, errors.AuthenticationFailedError | errors.AuthenticationMethodNotSupported):
        return RefusedError(f"it refuses the login: {text}; correct `sasl`")
    if isinstance(exc, errors.UnsupportedSaslMechanismError):
        return RefusedError(f"it refuses the login: {text}; correct `mechanism` in `sasl`")
    if "AuthorizationFailed" in type(exc).__name__:
        return RefusedError(f"the user may not do this: {text}; grant it to the user of `sasl`")
    return RefusedError(text)


def server_message(exc: BaseException) -> str:
    """Return the cluster's message as one line."""
    text = _NUMBER.sub("", " ".join(str(exc).split()))
    name = type(exc).__name__
    if isinstance(exc, TimeoutError | errors.RequestTimedOutError) and text in {"", name}:
        return f"{name}: it did not answer in time"
    if isinstance(exc, ConnectionError):
        text = text.replace("Connect call failed", os.strerror(exc.errno or 0))
        return text or f"{name}: the other side closed the connection"
    if not text or text == name:
        return name
    return text if name in text or isinstance(exc, OSError) else f"{name}: {text}"


def connection(settings: Cluster, root: Path) -> dict[str, Any]:
    """
    Convert the settings to the arguments of the library's clients.

    Raises:
        RefusedError: A certificate cannot be read.
    """
    given: dict[str, Any] = {
        "bootstrap_servers": list(settings.brokers),
        "client_id": "rsq-pipe",
        "request_timeout_ms": round(settings.timeout * 1000),
    }
    protocol = "SASL_" if settings.sasl else ""
    if settings.tls:
        given["ssl_context"] = _context(settings.tls, root)
    given["security_protocol"] = f"{protocol}SSL" if settings.tls else f"{protocol}PLAINTEXT"
    if settings.sasl:
        given["sasl_mechanism"] = settings.sasl.mechanism
        given["sasl_plain_username"] = settings.sasl.user
        given["sasl_plain_password"] = settings.sasl.password
    return given


def _context(tls: bool | Tls, root: Path) -> ssl.SSLContext:
    if not isinstance(tls, Tls):
        return ssl.create_default_context()
    try:
        context = ssl.create_default_context(cafile=str(root / tls.ca) if tls.ca else None)
        if tls.cert:
            key = str(root / tls.key) if tls.key else None
            context.load_cert_chain(str(root / tls.cert), key, tls.key_password)
    except (OSError, ssl.SSLError) as exc:
        raise RefusedError(f"a file of `tls` cannot be used: {exc}; correct its path") from exc
    return context


@asynccontextmanager
async def admin_of(given: dict[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    """
    Connect, to ask about topics or make one.

    Raises:
        RefusedError, AwayError: Also for what fails in the block.
    """
    admin = AIOKafkaAdminClient(**given)
    try:
        await admin.start()
        yield admin
    except FAULTS as exc:
        raise sorted_out(exc) from exc
    finally:
        await admin.close()


@asynccontextmanager
async def consumer_of(given: dict[str, Any], seconds: float, **more: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """
    Connect, to read at once what a topic holds.

    Args:
        given: The settings of the connection.
        seconds: How long it may take, the block included.
        more: Further settings of the consumer.

    Raises:
        RefusedError, AwayError: Also for what fails in the block.
    """
    consumer = AIOKafkaConsumer(**given, enable_auto_commit=False, **more)
    try:
        async with asyncio.timeout(seconds):
            await consumer.start()
            yield consumer
    except FAULTS as exc:
        raise sorted_out(exc) from exc
    finally:
        await consumer.stop()


async def partitions(given: dict[str, Any], topics: Sequence[str]) -> dict[str, list[int]]:
    """
    Return the partitions of topics; a topic that does not exist has none.

    Raises:
        RefusedError, AwayError: See these classes.
    """
    async with admin_of(given) as admin:
        # All are listed first: asking for one by name creates it if the cluster is configured that way.
        there = set(await admin.list_topics()) & set(topics)
        described = await admin.describe_topics(sorted(there)) if there else []
    found = {one["topic"]: sorted(part["partition"] for part in one["partitions"]) for one in described}
    return {topic: found.get(topic, []) for topic in topics}


class Topic(Struct, frozen=True):
    """Hold what is known of a topic; without partitions it does not exist."""

    partitions: int
    is_compacted: bool = False


async def describe_topics(given: dict[str, Any], topics: Sequence[str]) -> list[Topic]:
    """
    Read the properties of topics.

    Raises:
        RefusedError, AwayError: See these classes.
    """
    parts = await partitions(given, topics)
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics if parts[topic]]
    policies: dict[str, str] = {}
    async with admin_of(given) as admin:
        for answer in await admin.describe_configs(asked) if asked else ():
            for _, _, _, name, entries in answer.resources:  # none if the user may not ask
                policies[name] = next((entry[1] for entry in entries if entry[0] == "cleanup.policy"), "")
    return [Topic(len(parts[topic]), policies.get(topic) == "compact") for topic in topics]


async def holds_messages(given: dict[str, Any], topic: str, count: int, seconds: float) -> bool:
    """Return whether a topic holds any messages."""
    async with consumer_of(given, seconds) as consumer:
        parts = [TopicPartition(topic, part) for part in range(count)]
        return bool(await consumer.beginning_offsets(parts) != await consumer.end_offsets(parts))


async def make_topic(given: dict[str, Any], name: str, configuration: dict[str, str]) -> None:
    """
    Create a topic of one partition, on three brokers if there are so many; an existing one is not changed.

    Raises:
        RefusedError, AwayError: See these classes.
    """
    async with admin_of(given) as admin:
        brokers = len((await admin.describe_cluster())["brokers"])
        new = NewTopic(name, 1, min(3, max(1, brokers)), topic_configs=configuration)
        answer = await admin.create_topics([new])
        for topic, code, *more in answer.topic_errors:
            error = errors.for_code(code)
            if error not in (errors.NoError, errors.TopicAlreadyExistsError):
                why = next((text for text in more if text), error.__name__)
                raise sorted_out(error(f"topic {topic}: {why}"))


def reach_topics(settings: Cluster, topics: Sequence[str], root: Path, seconds: float) -> str:
    """
    Connect, and look for the topics; nothing is changed.

    Raises:
        RefusedError, UnreachableError: The connection fails, or a topic does not exist.
    """
    given = connection(settings, root) | {"request_timeout_ms": round(seconds * 1000)}
    background = Background(quoted=False)
    try:
        found = background.run(partitions(given, topics))
    except AwayError as exc:
        where = ",".join(settings.brokers)
        raise UnreachableError(
            f"{where} cannot be reached: {exc}; check `brokers` and `tls`, and that it runs"
        ) from exc
    finally:
        background.close()
    for topic, parts in found.items():
        if not parts:
            raise UnreachableError(f"there is no topic {topic!r}; make it, or correct `topic`")
    return ""
