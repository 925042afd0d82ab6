"""The embedded server's folder is on a disk without room: it is told at once, with what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from rsq_pipe.errors import ServerStartError
from rsq_pipe.server import embedded
from rsq_pipe.server.embedded import acquire
from rsq_pipe.server.home import Home, unwritable


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_not_said_to_be_one_that_cannot_be_written(tmp_path: Path, number: int) -> None:
    told = str(unwritable(Home(tmp_path), OSError(number, os.strerror(number))))

    assert told.endswith("Free some space there, or name a running server with --redis URL.")


def test_a_watchdog_that_had_no_room_for_its_reason_is_not_started_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[Home] = []

    def start(home: Home, *_: object) -> None:
        starts.append(home)
        home.watchdog_log.touch()

    monkeypatch.setattr(embedded, "start_watchdog", start)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=0, f_frsize=4096))

    with pytest.raises(ServerStartError, match=r"No space left on device\. Free some space there"):
        acquire(tmp_path, binary=Path("/usr/bin/false"))

    assert len(starts) == 1
