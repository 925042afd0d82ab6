"""What a Kafka cluster says is sorted by whether waiting helps."""

from __future__ import annotations

import errno
import logging
import re
import ssl

import pytest
from aiokafka import errors

from rsq_pipe.connectors.endpoint import AwayError, RefusedError
from rsq_pipe.connectors.kafka.background import Background, last_trouble
from rsq_pipe.connectors.kafka.cluster import sorted_out


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (errors.AuthenticationFailedError("SASL said no"), RefusedError, "refuses the login.*correct `sasl`"),
        (errors.UnsupportedSaslMechanismError(), RefusedError, "login.*Unsupported.*`mechanism`"),
        (errors.TopicAuthorizationFailedError("orders"), RefusedError, "may not do this.*orders.*grant it"),
        (errors.TransactionalIdAuthorizationFailed("x"), RefusedError, "may not do this.*grant it"),
        (errors.UnknownTopicOrPartitionError(), RefusedError, "UnknownTopicOrPartitionError"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), RefusedError, "a TLS connection.*correct `tls`"),
        (ssl.SSLCertVerificationError(1, "self-signed"), RefusedError, "not trusted.*`tls: {ca: FILE}`"),
        (errors.KafkaConnectionError("gone"), AwayError, "gone"),
        (errors.NotEnoughReplicasError(), AwayError, "NotEnoughReplicas"),
        (ConnectionRefusedError(111, "refused"), AwayError, "refused"),
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.1', 9092)"),
            AwayError,
            r"^Connection refused \('10.0.0.1', 9092\)",
        ),
        (ConnectionResetError(), AwayError, "the other side closed the connection"),
        (TimeoutError(), AwayError, "it did not answer in time"),
        (errors.RequestTimedOutError(), AwayError, "^RequestTimedOutError: it did not answer in time"),
        (errors.NodeNotReadyError("node 1"), AwayError, "^NodeNotReadyError: node 1"),
    ],
)
def test_an_error_says_whether_waiting_helps(error: Exception, kind: type[Exception], said: str) -> None:
    found = sorted_out(error)

    assert type(found) is kind
    assert re.search(said, str(found)), str(found)


def test_what_the_client_logged_is_the_reason_where_what_it_raises_has_none() -> None:
    async def fail() -> tuple[Exception, str]:
        log = logging.getLogger("aiokafka")
        log.error(
            "Unable connect to node with id %s: %s", 1, errors.AuthenticationFailedError("wrong password")
        )
        log.error("Unable to update metadata from %s", [1])
        trouble = last_trouble()
        assert trouble is not None
        return sorted_out(errors.KafkaTimeoutError("Failed to get offsets in time")), repr(trouble.cause)

    background = Background()
    found, cause = background.run(fail())
    background.close()

    assert "AuthenticationFailedError" in cause
    assert type(found) is RefusedError
    assert "wrong password; correct `sasl`" in str(found)
