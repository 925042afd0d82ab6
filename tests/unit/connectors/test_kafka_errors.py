"""What a Kafka cluster says is sorted by whether waiting helps."""

from __future__ import annotations

import re
import ssl

import pytest
from aiokafka import errors

from rsq_pipe.connectors.kafka.cluster import AwayError, RefusedError, sorted_out


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (errors.AuthenticationFailedError("SASL said no"), RefusedError, "refuses the login.*correct `sasl`"),
        (errors.UnsupportedSaslMechanismError(), RefusedError, "UnsupportedSaslMechanismError"),
        (errors.TopicAuthorizationFailedError("orders"), RefusedError, "may not do this.*orders.*grant it"),
        (errors.TransactionalIdAuthorizationFailed("x"), RefusedError, "may not do this.*grant it"),
        (errors.UnknownTopicOrPartitionError(), RefusedError, "UnknownTopicOrPartitionError"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), RefusedError, "a TLS connection.*correct `tls`"),
        (ssl.SSLCertVerificationError(1, "self-signed"), RefusedError, "not trusted.*`tls: {ca: FILE}`"),
        (errors.KafkaConnectionError("gone"), AwayError, "gone"),
        (errors.NotEnoughReplicasError(), AwayError, "NotEnoughReplicas"),
        (ConnectionRefusedError(111, "refused"), AwayError, "refused"),
        (TimeoutError(), AwayError, "TimeoutError"),
    ],
)
def test_an_error_says_whether_waiting_helps(error: Exception, kind: type[Exception], said: str) -> None:
    found = sorted_out(error)

    assert type(found) is kind
    assert re.search(said, str(found)), str(found)
