"""A connection over HTTP that is not made says why, in words of the system and not of the client."""

from __future__ import annotations

import errno
import socket
import ssl
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest

from rsq_pipe.connectors.http import get
from rsq_pipe.connectors.http.web_client import why
from rsq_pipe.streams import backoff

PLACE = cast("Any", SimpleNamespace(host="stock.example", port=8080, ssl=True))


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.1', 8080)"),
            "Connection refused",
        ),
        (OSError(errno.EHOSTUNREACH, "Connect call failed ('10.0.0.1', 8080)"), "No route to host"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (OSError("Multiple exceptions: [Errno 111] refused"), "Multiple exceptions: [Errno 111] refused"),
    ],
)
def test_a_connection_that_is_not_made_is_told_in_words(cause: OSError, reason: str) -> None:
    error = aiohttp.ClientConnectorError(PLACE, cause)

    assert why(error) == f"cannot connect to stock.example:8080: {reason}"


def test_other_errors_are_told_as_they_are() -> None:
    assert why(aiohttp.ServerDisconnectedError()) == "Server disconnected"
    assert "stock.example" in why(aiohttp.ClientConnectorSSLError(PLACE, OSError(1, "wrong version number")))
    assert "wrong version number" in why(
        aiohttp.ClientConnectorSSLError(PLACE, OSError(1, "wrong version number"))
    )


def test_an_answer_that_is_not_http_is_not_told_as_a_status_that_nobody_sent() -> None:
    answer = aiohttp.ClientResponseError(PLACE, (), status=400, message="Bad status line:\n b'junk'")
    packed = aiohttp.ClientPayloadError("400, message:\n  Can not decode content-encoding: gzip")

    assert why(answer) == "its answer is not HTTP: Bad status line: b'junk'"
    assert why(packed) == "Can not decode content-encoding: gzip"


def test_a_failed_tls_connection_says_what_to_correct() -> None:
    plain = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
    plain.reason = "WRONG_VERSION_NUMBER"
    unknown = ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")
    unknown.verify_message = "self-signed certificate"

    assert why(aiohttp.ClientConnectorSSLError(PLACE, plain)) == (
        "cannot connect to stock.example:8080: it does not speak TLS there; correct the port, or write http://"
    )
    assert why(aiohttp.ClientConnectorCertificateError(PLACE, unknown)) == (
        "cannot connect to stock.example:8080: its certificate is not trusted (self-signed certificate); set "
        "SSL_CERT_FILE to a file with its authority, or correct the host"
    )


def test_a_service_that_does_not_answer_is_asked_again_as_soon_as_a_server_is() -> None:
    assert get.FIRST == backoff.FIRST
