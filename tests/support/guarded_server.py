"""GuardedServer: a server whose URL names a user with only the rights that `rsq-pipe acl` gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsq_pipe.ops.acl import User
from rsq_pipe.ops.rights import Role, commands
from tests.support.server import StreamServer

PASSWORD = "of-the-tests-5e1f"
ADMIN = "user default on nopass ~* &* +@all"


def _user(role: Role) -> User:
    # Any pipeline's keys, and any stream from outside: the tests on one server have many pipelines.
    return User(role, tuple(commands(role)), ("*",), PASSWORD)


class GuardedServer(StreamServer):
    """
    Run a server with the users `run` and `operate`; its URLs name the latter, see `least`.

    Its socket lets anyone in as an administrator, as every StreamServer does.
    """

    def __init__(self, binary: Path, **settings: Any) -> None:
        super().__init__(binary, **settings)
        file = self.folder / "users.acl"
        file.write_text(f"{ADMIN}\n{_user('run').line}\n{_user('operate').line}\n")
        self.config["aclfile"] = str(file)

    @property
    def url(self) -> str:
        return _as("operate", super().url)

    @property
    def tcp_url(self) -> str:
        return _as("operate", super().tcp_url)


def least(
    arguments: Sequence[str | Path], environ: Mapping[str, str]
) -> tuple[list[str | Path], dict[str, str]]:
    """Have `rsq-pipe run` log in as the user that may only run, wherever the URL is given."""
    words = [str(word) for word in arguments]
    if "run" not in words or {"--fresh", "--rename", "--discard"} & {*words}:
        return list(arguments), dict(environ)
    operate, run = _as("operate", "//"), _as("run", "//")
    spelled = [word.replace(operate, run) for word in words]
    return list(spelled), {name: value.replace(operate, run) for name, value in environ.items()}


def _as(user: Role, url: str) -> str:
    return url.replace("//", f"//{user}:{PASSWORD}@", 1)
