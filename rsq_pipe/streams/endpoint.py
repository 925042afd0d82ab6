"""Endpoint: where a server is and how to log in; the identity of a connection pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url

SCHEMES = ("redis://", "rediss://", "unix://", "redis+cluster://", "rediss+cluster://")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    Say how to reach one server or cluster.

    Args:
        settings: What redis-py's Connection takes: host, port, db, username, password, TLS, timeouts ...
        connection: The redis-py class that speaks to it.
        nodes: `(host, port)` of each node to ask for a cluster's layout; empty for a single server.
    """

    settings: Mapping[str, Any] = field(repr=False)
    connection: type[Connection | UnixDomainSocketConnection] = Connection
    nodes: tuple[tuple[str, int], ...] = ()

    @classmethod
    def from_url(cls, url: str, **settings: Any) -> Endpoint:
        """
        Parse a URL.

        Raises:
            ValueError: The scheme is none of SCHEMES, or a part of the URL is malformed.
        """
        # No message quotes the URL, or what urllib says of it: any part of it may be part of a password.
        if not url.startswith(SCHEMES):
            raise ValueError(f"a server URL starts with one of {', '.join(SCHEMES)}; this one does not")
        try:
            parsed: dict[str, Any] = dict(parse_url(url.replace("+cluster://", "://", 1)))
        except ValueError:
            raise ValueError(
                "the server URL is malformed; it is redis://USER:PASSWORD@HOST:PORT/DB, where / in a "
                "password is written %2F, @ %40, : %3A and # %23"
            ) from None
        connection = parsed.pop("connection_class", Connection)
        merged = {**settings, **parsed}
        if "+cluster://" not in url:
            return cls(merged, connection)
        if merged.pop("db", 0):
            raise ValueError("a cluster has only database 0; leave the number out of the URL")
        node = (merged.pop("host", "localhost"), merged.pop("port", 6379))
        return cls(merged, connection, (node,))

    @classmethod
    def from_nodes(cls, nodes: Sequence[Any], *, ssl: bool = False, **settings: Any) -> Endpoint:
        """
        Describe a cluster by some of its nodes.

        Args:
            nodes: `(host, port)` pairs, `{"host":, "port":}` mappings, or objects with those attributes.
        """
        return cls(settings, SSLConnection if ssl else Connection, tuple(_node(node) for node in nodes))

    @property
    def is_cluster(self) -> bool:
        """Whether keys are spread over nodes."""
        return bool(self.nodes)

    @property
    def identity(self) -> tuple[Any, ...]:
        """Everything that distinguishes two endpoints; equal identities may share connections."""
        return (self.connection, self.nodes, tuple(sorted((k, repr(v)) for k, v in self.settings.items())))

    @property
    def address(self) -> str:
        """The server as it may be shown: never with credentials."""
        if self.nodes:
            return ",".join(f"{host}:{port}" for host, port in self.nodes)
        if "path" in self.settings:
            return f"unix://{self.settings['path']}"
        return f"{self.settings.get('host', 'localhost')}:{self.settings.get('port', 6379)}"


def _node(node: Any) -> tuple[str, int]:
    if isinstance(node, Mapping):
        return str(node["host"]), int(node["port"])
    if isinstance(node, tuple | list):
        return str(node[0]), int(node[1])
    return str(node.host), int(node.port)
