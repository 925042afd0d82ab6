"""Endpoint: a server's address and login; the identity of a connection pool."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import RedisError

from rsq_pipe.hosts import missing_scheme, split_hosts

SCHEMES = (
    *("redis://", "rediss://", "unix://", "redis+cluster://", "rediss+cluster://"),
    *("redis+sentinel://", "rediss+sentinel://"),
)

_SETTING = re.compile(r"Invalid value for '(\w+)' in connection URL")
"""redis-py's message about an invalid value of a known setting."""

CLIENTS = ("prefix", "max_connections", "pool_timeout", "socket_timeout")
"""Settings of the client rather than of a connection."""

PORT, SENTINEL_PORT = 6379, 26379

Node: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    Describe how to reach one server, a cluster, or the primary that sentinels watch.

    Args:
        settings: Keyword arguments of redis-py's Connection: host, port, db, username, password, TLS ...
        connection: The redis-py class that connects to it.
        nodes: `(host, port)` of each node to ask for a cluster's layout, or of each sentinel; empty for a
            single server.
        service: The name by which the sentinels know the primary; empty otherwise.
        sentinel_login: username and password for the sentinels, if they require one.
    """

    settings: Mapping[str, Any] = field(repr=False)
    connection: type[Connection | UnixDomainSocketConnection] = Connection
    nodes: tuple[Node, ...] = ()
    service: str = ""
    sentinel_login: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_url(cls, url: str, **settings: Any) -> Endpoint:
        """
        Parse a URL.

        Raises:
            ValueError: The scheme is not one of SCHEMES, or a part of the URL is malformed.
        """
        # No message quotes the URL, or urllib's text about it: any part of it may be part of a password.
        if not url.startswith(SCHEMES):
            fix = missing_scheme(url) or "this one does not"
            raise ValueError(f"a server URL starts with one of {', '.join(SCHEMES)}; {fix}")
        scheme, _, rest = url.partition("://")
        protocol, _, kind = scheme.partition("+")
        try:
            return cls._parsed(f"{protocol}://{rest}", kind, settings)
        except _MalformedError:
            raise
        except ValueError as exc:
            if named := _SETTING.match(str(exc)):
                raise _MalformedError(f"its setting `{named[1]}` has a value that cannot be read") from None
            raise ValueError(
                "the server URL is malformed; it is redis://USER:PASSWORD@HOST:PORT/DB, where / in a "
                "password is written %2F, @ %40, : %3A and # %23"
            ) from None

    @classmethod
    def _parsed(cls, url: str, kind: str, settings: dict[str, Any]) -> Endpoint:
        alone, hosts = split_hosts(url)
        parts = urlsplit(alone)
        default = SENTINEL_PORT if kind == "sentinel" else PORT
        nodes = tuple((host or "localhost", port or default) for host, port in hosts)
        path, service = parts.path, ""
        if kind == "sentinel":
            service, _, path = unquote(path.removeprefix("/")).partition("/")
            if not service:
                raise _MalformedError(
                    "the URL of sentinels names the service: redis+sentinel://HOST,HOST/SERVICE"
                )
        elif not kind and len(nodes) > 1:
            raise _MalformedError(
                "only a URL of redis+cluster:// or redis+sentinel:// may list several hosts"
            )
        if url.startswith("unix:"):
            if hosts[0][0] or not path:
                raise _MalformedError("it names no socket; write its whole path: unix:///run/redis.sock")
        elif (database := path.replace("/", "")) and not database.isdecimal():
            # redis-py would read it as database 0.
            raise _MalformedError("the database in it is not a number; it is redis://HOST:PORT/DB")
        parsed: dict[str, Any] = dict(parse_url(parts._replace(path=path).geturl() if kind else url))
        connection = parsed.pop("connection_class", Connection)
        _refuse_unknown(connection, parsed)
        merged = {**settings, **parsed}
        if not kind:
            return cls(merged, connection)
        if kind == "cluster" and merged.pop("db", 0):
            raise _MalformedError("a cluster has only database 0; leave the number out of the URL")
        given = {name: merged.pop(f"sentinel_{name}", None) for name in ("username", "password")}
        merged = {name: value for name, value in merged.items() if name not in {"host", "port"}}
        sentinel_login = {name: value for name, value in given.items() if value}
        return cls(merged, connection, nodes, service, sentinel_login)

    @classmethod
    def from_nodes(cls, nodes: Sequence[Any], *, ssl: bool = False, **settings: Any) -> Endpoint:
        """
        Describe a cluster by some of its nodes.

        Args:
            nodes: `(host, port)` pairs, `{"host":, "port":}` mappings, or objects with those attributes.
        """
        return cls(settings, SSLConnection if ssl else Connection, tuple(_node(node) for node in nodes))

    def check(self) -> None:
        """
        Create a connection without connecting it.

        Raises:
            ValueError: A setting does not exist, or has an impossible value.
        """
        try:
            self.connection(**self.settings)
        except TypeError as exc:
            raise ValueError(f"not a setting of a connection: {exc}") from exc
        except RedisError as exc:
            raise ValueError(f"a setting in it is wrong: {exc}") from exc

    @property
    def is_cluster(self) -> bool:
        """Whether keys are spread over several nodes."""
        return bool(self.nodes) and not self.service

    @property
    def sentinel_settings(self) -> Mapping[str, Any]:
        """Settings of a connection to a sentinel: the server's TLS and timeouts, and its own login."""
        own = {"db", "username", "password", "client_name"}
        shared = {name: value for name, value in self.settings.items() if name not in own}
        return {**shared, **self.sentinel_login}

    @property
    def identity(self) -> tuple[Any, ...]:
        """Everything that distinguishes two endpoints; those with equal identities may share connections."""
        settings = (tuple(sorted((k, repr(v)) for k, v in self.settings.items())),)
        return (self.connection, self.nodes, self.service, *sorted(self.sentinel_login.items()), *settings)

    @property
    def address(self) -> str:
        """The server in the form that may be shown: never with credentials."""
        if self.nodes:
            asked = ",".join(spelt(*node) for node in self.nodes)
            return f"{self.service} of {asked}" if self.service else asked
        if "path" in self.settings:
            return f"unix://{self.settings['path']}"
        return spelt(self.settings.get("host", "localhost"), self.settings.get("port", PORT))


def spelt(host: str, port: int) -> str:
    """Write a host and its port; an IPv6 address goes into brackets, or its end would read like a port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parted(address: str) -> Node:
    """Split what `spelt` wrote."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class _MalformedError(ValueError):
    """A mistake that has a message of its own."""


def _refuse_unknown(connection: type[Any], settings: Mapping[str, Any]) -> None:
    others = {*CLIENTS, "sentinel_username", "sentinel_password"}
    try:
        connection(**{name: value for name, value in settings.items() if name not in others})
    except TypeError:
        # Its name is not shown: after a ? in a password, it would be part of the password.
        raise _MalformedError(
            "a setting after its ? is not a connection setting, such as socket_timeout=5; in a password ? is "
            "written %3F"
        ) from None
    except RedisError as exc:
        raise _MalformedError(f"a setting in it is wrong: {exc}") from None


def _node(node: Any) -> Node:
    if isinstance(node, Mapping):
        return str(node["host"]), int(node["port"])
    if isinstance(node, tuple | list):
        return str(node[0]), int(node[1])
    return str(node.host), int(node.port)
