"""Faults: the one place where exceptions of redis-py and the socket are translated into ours."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl

from redis import exceptions as vendor

from rsq_pipe.error_text import one_line
from rsq_pipe.errors import (
    GroupLostError,
    LoginError,
    ServerTimeoutError,
    ServerUnavailableError,
    SettleError,
    StreamError,
    StreamFullError,
)

# Replies of a server that is running but cannot serve now; the command was not applied.
_NOT_NOW = (
    *("LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "NOREPLICAS", "UNBLOCKED"),
    *("ASK", "MOVED", "MISCONF"),
)

# A script accesses a key it has just emptied, in a cluster whose slot is moving. Ours check their keys
# before they write, and after their writes they only read keys to report them.
_MOVING = "access a non local key"

_DENIED = (
    "this user may not do that on server {}: {}; `rsq-pipe doctor --redis URL` says what a pipeline needs"
)
_REFUSALS = {
    "WRONGTYPE": "server {}: a key of this pipeline is in use for something else: {}",
    "NOPERM": _DENIED,
    "ACL failure": _DENIED,  # a script's command
    "No such master": "sentinel {} knows no service of the name in the URL: {}; see its SENTINEL MASTERS",
}
"""Words of a reply -> the error it means, given the server's address and the reply."""

_LOGIN = re.compile("authentication required|invalid username-password|client sent auth", re.IGNORECASE)

_NO_LOGIN = "write the password into the URL, before the host, as :PASSWORD@HOST or USER:PASSWORD@HOST"
_NO_AUTHORITY = "; name the file of its authority: rediss://...?ssl_ca_certs=FILE"
_UNKNOWN_ISSUER = (18, 19, 20, 21)
"""OpenSSL's codes for a chain that ends at nobody we trust; others are of a wrong host name, or expired."""

_UNKNOWN = "Error UNKNOWN while writing to socket. "

_NOT_REDIS = (
    "what answers there does not speak the protocol of Redis; "
    "check the port, and whether the server wants TLS (rediss://)"
)
_WHILE_CONNECTING = (
    " while connecting; check host and port, and that it speaks TLS if its URL begins with rediss://"
)


def translate(exc: BaseException, address: str, server: str = "") -> StreamError:
    """
    Return our error for a redis-py or socket exception.

    Args:
        exc: Anything redis-py or the event loop raised while talking to the server.
        address: The server as the user named it, without credentials.
        server: The address of the whole, if that one is a part of it and may be replaced by another; an
            outage is that of the whole.

    Returns:
        An error of our hierarchy, to be raised `from exc`.
    """
    server = server or address
    text = one_line(exc)
    # The sentence continues; redis-py has a number for errors of the system alone.
    why = _unconnected(exc, address) or text.removeprefix(_UNKNOWN).rstrip(".")
    if isinstance(exc, vendor.InvalidResponse):
        why = _NOT_REDIS
    match exc:
        case (
            vendor.AuthenticationError()
            | vendor.AuthorizationError()
            | vendor.ExternalAuthProviderError()
            | vendor.AuthenticationWrongNumberOfArgsError()
        ):
            return _login(text, address)
        # Raised while connecting, when redis-py takes the refusal for a broken connection.
        case vendor.ConnectionError() if _LOGIN.search(text):
            return _login(text, address)
        case vendor.TimeoutError() | asyncio.TimeoutError():
            while_connecting = _WHILE_CONNECTING if text.startswith("Timeout connecting") else ""
            return ServerTimeoutError(
                f"server {address} did not answer in time{while_connecting}", address=server
            )
        case vendor.MaxConnectionsError():
            return ServerUnavailableError(f"server {address}: no connection is free: {text}", address=server)
        case vendor.ConnectionError() | vendor.InvalidResponse() | vendor.ClusterError() | OSError():
            return ServerUnavailableError(f"server {address} is not reachable: {why}", address=server)
        case vendor.RedisClusterException():
            return ServerUnavailableError(f"cluster {address} is not reachable: {why}", address=server)
        case vendor.ResponseError():
            # redis-py strips the code from replies for which it has a class.
            code = getattr(exc, "status_code", None)
            return refusal(f"{code} {text}" if code and not text.startswith(code) else text, address)
        case _:
            return SettleError(f"server {address}: {text}", reply=text)


def _unconnected(exc: BaseException, address: str) -> str:
    """Return why no connection was made, if the socket gave a reason; redis-py only gives error numbers."""
    match exc if isinstance(exc, OSError) else exc.__context__:
        case ConnectionRefusedError():
            return "nothing listens there (connection refused)"
        case socket.gaierror():
            return "no address is known for this name"
        case FileNotFoundError():
            is_socket = address.startswith("unix:")
            return "there is no such socket" if is_socket else "a file that its URL names is not there"
        case PermissionError():
            return "this user may not open it"
        case ssl.SSLCertVerificationError() as untrusted:
            what = _NO_AUTHORITY if untrusted.verify_code in _UNKNOWN_ISSUER else ""
            return f"its certificate is not trusted ({untrusted.verify_message}){what}"
        case ssl.SSLError():
            return ""  # its numbers are OpenSSL's
        case OSError(errno=int() as number):
            return f"{os.strerror(number)[:1].lower()}{os.strerror(number)[1:]}"
    return ""


def cannot_serve(reply: vendor.ResponseError) -> bool:
    """Return whether an error reply says that this server cannot serve anyone now: another may by now."""
    return isinstance(translate(reply, ""), ServerUnavailableError)


def refusal(reply: str, address: str) -> StreamError:
    """Return our error for an error reply of the server."""
    code = reply.split(" ", 1)[0].lstrip("-")
    if code in {"WRONGPASS", "NOAUTH"}:
        return _login(reply, address)
    if "NOGROUP" in reply:
        return _group_lost(reply, address)
    if code == "STREAMFULL":
        return _stream_full(reply)
    if code in _NOT_NOW or _MOVING in reply:
        return ServerUnavailableError(f"server {address} cannot serve now: {reply}", address=address)
    if "OOM" in reply:
        return StreamFullError(f"server {address} is out of memory (maxmemory): {reply}")
    why = next((why for words, why in _REFUSALS.items() if words in reply), "server {} refused a command: {}")
    return SettleError(why.format(address, reply), reply=reply)


def _group_lost(reply: str, address: str) -> GroupLostError:
    # "No such key 'K' or consumer group 'G'", or "No such consumer group 'G' for key name 'K'".
    key, group = re.search(r"key (?:name )?'(.+?)'", reply), re.search(r"consumer group '(.+?)'", reply)
    what = (
        f"stream {key[1]!r} has no group {group[1]!r} any more"
        if key and group
        else f"a group is gone: {reply}"
    )
    return GroupLostError(
        f"server {address}: {what}; was it flushed or evicted, or the group destroyed?",
        stream=key[1] if key else "",
        group=group[1] if group else "",
    )


def _stream_full(reply: str) -> StreamFullError:
    _, bound, stream = reply.split(" ", 2)
    return StreamFullError(
        f"stream {stream!r} holds {bound} entries that some group has not acknowledged; "
        "let its consumers catch up, or raise max_len",
        stream=stream,
        bound=int(bound),
    )


def _login(text: str, address: str) -> LoginError:
    # A server that wants a login and got none says "required"; any other reply is about the one it got.
    what = _NO_LOGIN if "authentication required" in text.lower() else "check user and password"
    return LoginError(f"server {address} refused the login: {text.rstrip('.')}; {what}", reply=text)
