"""ACL: the users of one pipeline with the fewest rights, in the server's syntax."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from rsq_pipe.connectors.redis.commands import COMMANDS
from rsq_pipe.connectors.redis.template import parse_template
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.ops.rights import CLUSTERED, WATCHED, Role, commands
from rsq_pipe.spec.graph import ConnectorRef, Graph
from rsq_pipe.spec.stages.lookup import Lookup, RedisRef

PASSWORD = "PASSWORD"  # noqa: S105  a placeholder; the operator writes a real one


class User(Struct, frozen=True):
    """
    Hold one user's rights.

    Args:
        name: The user's name.
        commands: The allowed commands, in the syntax of ACL SETUSER.
        keys: Patterns of the keys the user may touch.
        password: In clear text; by default a placeholder.
        reads: Patterns of the keys the user may read.
    """

    name: str
    commands: tuple[str, ...]
    keys: tuple[str, ...]
    password: str = PASSWORD
    reads: tuple[str, ...] = ()

    @property
    def rules(self) -> str:
        """The rights; they replace all rights that the user had before."""
        keys = " ".join([*(f"~{one}" for one in self.keys), *(f"%R~{one}" for one in self.reads)])
        allowed = " ".join(f"+{command}" for command in self.commands)
        return f"reset on >{self.password} resetchannels {keys} -@all {allowed}"

    @property
    def setuser(self) -> str:
        """The command that creates the user at once."""
        return f"ACL SETUSER {self.name} {self.rules}"

    @property
    def line(self) -> str:
        """The line of a users.acl file."""
        return f"user {self.name} {self.rules}"


def users(
    graph: Graph,
    *,
    is_cluster: bool = False,
    is_watched: bool = False,
    database: int = 0,
    prefix: str = "",
) -> tuple[User, User]:
    """
    List the user that runs a pipeline and the one that operates it.

    Args:
        graph: The pipeline: its keys, and the streams from outside that it reads or writes.
        is_cluster: Whether the server is a cluster.
        is_watched: Whether sentinels name the server.
        database: The number of the database; any but 0 needs the right to SELECT.
        prefix: The prefix of the users' names; the pipeline's name if left out.
    """
    further = (CLUSTERED if is_cluster else ()) + (WATCHED if is_watched else ())
    further += ("select",) if database else ()
    keys = (Keyspace(graph.pipeline).pattern, *map(pattern, outside(graph)), *_written(graph))
    further += tuple(dict.fromkeys(word for ref in _sinks(graph) for word in COMMANDS[ref.options.kind]))
    name = prefix or graph.pipeline

    def user(name: str, role: Role) -> User:
        reads = tables(graph) if role == "run" else ()
        return User(name, (*commands(role), *further), keys, reads=reads)

    return user(name, "run"), user(f"{name}-operate", "operate")


def outside(graph: Graph) -> list[str]:
    """Name the streams from outside that a pipeline reads or writes."""
    return sorted(set(_outside(graph)))


def _outside(graph: Graph) -> Iterator[str]:
    for stage in graph.stages:
        for ref in (*stage.inputs, *stage.outputs.values()):
            if ref.external:
                yield ref.name


def _sinks(graph: Graph) -> list[ConnectorRef]:
    """List the sinks that write keys other than streams on the pipeline's own server."""
    refs = [stage.options for stage in graph.stages if stage.verb == "sink"]
    return [ref for ref in refs if ref.type == "redis" and not ref.options.url]


def _written(graph: Graph) -> tuple[str, ...]:
    """Return the patterns of their keys, and of their ledgers."""
    templates = [parse_template(ref.options.key) for ref in _sinks(graph)]
    found = [
        "".join(pattern(part) if isinstance(part, str) else "*" for part in one.parts) for one in templates
    ]
    return tuple(dict.fromkeys([*found, *(["rsq-ledger:*"] if found else [])]))


def tables(graph: Graph) -> tuple[str, ...]:
    """Return the patterns of the keys that lookups read on the pipeline's own server."""
    found = [stage.options.table for stage in graph.stages if isinstance(stage.options, Lookup)]
    templates = [table.key for table in found if isinstance(table, RedisRef) and not table.url]
    return tuple(
        dict.fromkeys(
            "".join(pattern(part) if isinstance(part, str) else "*" for part in template.parts)
            for template in templates
        )
    )


def pattern(key: str) -> str:
    """Return the pattern that matches one key."""
    # A blank would end the rule, some clients interpret quotes, and a terminal may act on unprintable
    # characters: each becomes a wildcard.
    return "".join(_piece(char) for char in key)


def _piece(char: str) -> str:
    if char.isspace() or char in "\"'" or not char.isprintable():
        return "?" * len(char.encode())
    return f"\\{char}" if char in "*?[]\\^" else char
