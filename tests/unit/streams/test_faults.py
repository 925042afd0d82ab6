"""Every exception of redis-py and of the socket becomes one of ours."""

from __future__ import annotations

import inspect
import socket
import ssl

import pytest
from redis import exceptions as vendor
from redis._parsers.base import BaseParser

from rsq_pipe.errors import (
    GroupLostError,
    LoginError,
    ServerTimeoutError,
    ServerUnavailableError,
    SettleError,
    StreamError,
    StreamFullError,
)
from rsq_pipe.streams.faults import translate

ADDRESS = "db.example:6379"
KINDS = [
    kind
    for _, kind in inspect.getmembers(vendor, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__ == vendor.__name__
]


def instance(kind: type[Exception]) -> Exception:
    if issubclass(kind, vendor.AskError):
        return kind("7000 127.0.0.1:7001", status_code="MOVED")
    return kind("what the server said")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_exception_of_redis_is_mapped(kind: type[Exception]) -> None:
    ours = translate(instance(kind), ADDRESS)

    assert isinstance(ours, StreamError)
    assert ADDRESS in str(ours)


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        (vendor.ConnectionError, ServerUnavailableError),
        (vendor.BusyLoadingError, ServerUnavailableError),
        (vendor.MaxConnectionsError, ServerUnavailableError),
        (vendor.TimeoutError, ServerTimeoutError),
        (vendor.AuthenticationError, LoginError),
        (vendor.ClusterDownError, ServerUnavailableError),
        (vendor.MasterDownError, ServerUnavailableError),
        (vendor.MovedError, ServerUnavailableError),
        (vendor.SlotNotCoveredError, ServerUnavailableError),
        (vendor.InvalidResponse, ServerUnavailableError),
        (vendor.DataError, SettleError),
        (TimeoutError, ServerTimeoutError),
        (ConnectionResetError, ServerUnavailableError),
        (OSError, ServerUnavailableError),
    ],
    ids=lambda kind: f"{kind.__module__}.{kind.__name__}",
)
def test_what_time_may_mend_is_retryable_and_nothing_else(
    kind: type[Exception], ours: type[StreamError]
) -> None:
    assert type(translate(instance(kind), ADDRESS)) is ours
    assert ours.retryable == issubclass(ours, ServerUnavailableError)


@pytest.mark.parametrize(
    ("reply", "ours"),
    [
        ("NOGROUP No such key 'orders:in' or consumer group 'price' in XREADGROUP", GroupLostError),
        ("STREAMFULL 1000 orders:in", StreamFullError),
        ("OOM command not allowed when used memory > 'maxmemory'.", StreamFullError),
        ("READONLY You can't write against a read only replica.", ServerUnavailableError),
        ("LOADING Redis is loading the dataset in memory", ServerUnavailableError),
        ("BUSY Redis is busy running a script.", ServerUnavailableError),
        ("TRYAGAIN Multiple keys request during rehashing of slot", ServerUnavailableError),
        ("CLUSTERDOWN The cluster is down", ServerUnavailableError),
        ("MASTERDOWN Link with MASTER is down", ServerUnavailableError),
        ("ASK 7000 127.0.0.1:7001", ServerUnavailableError),
        ("MOVED 7000 127.0.0.1:7001", ServerUnavailableError),
        ("NOREPLICAS Not enough good replicas to write.", ServerUnavailableError),
        ("MISCONF Errors writing to the AOF file", ServerUnavailableError),
        ("UNBLOCKED force unblock from blocking operation", ServerUnavailableError),
        ("WRONGTYPE Operation against a key in_flight the wrong kind of value", SettleError),
        ("NOPERM User default has no permissions", SettleError),
        ("WRONGPASS invalid username-password pair", LoginError),
        ("NOAUTH Authentication required.", LoginError),
        ("CROSSSLOT Keys in request don't hash to the same slot", SettleError),
        ("ERR value is not an integer or out of range", SettleError),
    ],
)
def test_every_reply_is_mapped_as_redis_parses_it(reply: str, ours: type[StreamError]) -> None:
    assert type(translate(parse(reply), ADDRESS)) is ours


@pytest.mark.parametrize(
    "reply",
    [
        "NOPERM No permissions to access a key",
        "ERR ACL failure in script: User ops has no permissions to run the 'xack' command script: 3",
    ],
)
def test_a_refusal_for_want_of_a_right_says_how_to_find_the_rights(reply: str) -> None:
    said = str(translate(parse(reply), ADDRESS))

    assert said.startswith(f"this user may not do that on server {ADDRESS}: ")
    assert said.endswith("; `rsq-pipe doctor --redis URL` says what a pipeline needs")


def parse(reply: str) -> Exception:
    parsed: Exception = BaseParser.parse_error(reply)  # type: ignore[no-untyped-call]
    return parsed


def test_errors_carry_their_facts() -> None:
    full = translate(vendor.ResponseError("STREAMFULL 1000 a stream"), ADDRESS)

    assert isinstance(full, StreamFullError)
    assert (full.stream, full.bound) == ("a stream", 1000)


@pytest.mark.parametrize(
    "reply",
    [
        "NOGROUP No such key 'a' or consumer group 'g' in XREADGROUP with GROUP option",
        "NOGROUP No such key 'a' or consumer group 'g'",
        "NOGROUP No such consumer group 'g' for key name 'a'",
    ],
)
def test_a_lost_group_is_named_however_the_command_says_it(reply: str) -> None:
    lost = translate(vendor.ResponseError(reply), ADDRESS)

    assert isinstance(lost, GroupLostError)
    assert (lost.stream, lost.group) == ("a", "g")


@pytest.mark.parametrize("kind", [vendor.ConnectionError, vendor.TimeoutError])
def test_the_outage_of_a_primary_is_that_of_its_service(kind: type[Exception]) -> None:
    """The primary that works again is another one."""
    error = translate(kind(), "10.0.0.7:6379", "orders of sentinel:26379")

    assert isinstance(error, ServerUnavailableError)
    assert "10.0.0.7:6379" in str(error)
    assert error.address == "orders of sentinel:26379"


@pytest.mark.parametrize(
    "text", ["Authentication required.", "invalid username-password pair or user is disabled."]
)
def test_a_login_refused_while_connecting_is_not_an_unreachable_server(text: str) -> None:
    error = translate(vendor.ConnectionError(text), "h:1")

    assert isinstance(error, LoginError)
    assert not error.retryable


def test_a_vendors_full_stop_does_not_end_up_in_the_middle_of_a_sentence() -> None:
    error = translate(vendor.ConnectionError("Connection closed by server."), "h:1")

    assert str(error) == "server h:1 is not reachable: Connection closed by server"


@pytest.mark.parametrize(
    ("cause", "why"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "nothing listens there"),
        (socket.gaierror(-2, "Name or service not known"), "no address is known for this name"),
        (FileNotFoundError(2, "No such file or directory"), "a file that its URL names is not there"),
        (OSError(113, "Connect call failed ('10.0.0.1', 1)"), "no route to host"),
    ],
)
def test_a_connection_that_is_not_made_is_told_without_numbers_and_calls(cause: OSError, why: str) -> None:
    caught: vendor.ConnectionError | None = None
    try:
        try:
            raise cause
        except OSError as exc:
            # As redis-py does it, without a cause of its own.
            raise vendor.ConnectionError(f"Error {exc.errno} connecting to h:1. {exc.strerror}.")  # noqa: B904
    except vendor.ConnectionError as exc:
        caught = exc

    assert str(translate(caught, ADDRESS)).startswith(f"server {ADDRESS} is not reachable: {why}")


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (
            vendor.InvalidResponse('Protocol error, got "H" as reply type byte'),
            (
                f"server {ADDRESS} is not reachable: what answers there does not speak the protocol of "
                "Redis; check the port, and whether the server wants TLS (rediss://)"
            ),
        ),
        (
            vendor.TimeoutError("Timeout connecting to server"),
            (
                f"server {ADDRESS} did not answer in time while connecting; check host and port, and that it "
                "speaks TLS if its URL begins with rediss://"
            ),
        ),
        (vendor.TimeoutError("Timeout reading from h:1"), f"server {ADDRESS} did not answer in time"),
        (
            vendor.AuthenticationError("Authentication required."),
            (
                f"server {ADDRESS} refused the login: Authentication required; write the password into the "
                "URL, before the host, as :PASSWORD@HOST or USER:PASSWORD@HOST"
            ),
        ),
    ],
)
def test_a_url_that_does_not_fit_the_server_is_told_with_what_to_change(raised: Exception, told: str) -> None:
    assert str(translate(raised, ADDRESS)) == told


@pytest.mark.parametrize(
    ("code", "message", "advice"),
    [
        (18, "self-signed certificate", "; name the file of its authority: rediss://...?ssl_ca_certs=FILE"),
        (62, "Hostname mismatch, certificate is not valid for 'h'", ""),
    ],
)
def test_a_certificate_that_is_not_trusted_is_told_with_why_and_with_what_helps(
    code: int, message: str, advice: str
) -> None:
    refused = ssl.SSLCertVerificationError(1, f"certificate verify failed: {message}")
    refused.verify_code, refused.verify_message = code, message
    caught = vendor.ConnectionError(f"Error 1 connecting to h:1. {refused}.")
    caught.__context__ = refused  # as redis-py raises it

    assert str(translate(caught, ADDRESS)) == (
        f"server {ADDRESS} is not reachable: its certificate is not trusted ({message}){advice}"
    )


def test_a_group_that_a_script_misses_is_told_without_the_script() -> None:
    reply = "NOGROUP No such key '{shop}:once' or consumer group 'both' script: d934bc, on @user_script:138."

    assert str(translate(vendor.ResponseError(reply), ADDRESS)) == (
        f"server {ADDRESS}: stream '{{shop}}:once' has no group 'both' any more; "
        "was it flushed or evicted, or the group destroyed?"
    )


def test_a_connection_lost_while_writing_has_no_number_that_is_unknown() -> None:
    lost = vendor.ConnectionError("Error UNKNOWN while writing to socket. Connection lost.")

    assert str(translate(lost, ADDRESS)) == f"server {ADDRESS} is not reachable: Connection lost"
