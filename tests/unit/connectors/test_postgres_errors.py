"""What PostgreSQL and its client library say of an outage is told in one line, with what to do."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from rsq_pipe.connectors.postgres.connection import sorted_out
from rsq_pipe.connectors.sink import TargetUnavailableError

CLOSED = """consuming input failed: server closed the connection unexpectedly
\tThis probably means the server terminated abnormally
\tbefore or while processing the request."""
REFUSED = """connection failed: connection to server at "db", port 5 failed: Connection refused
\tIs the server running on that host and accepting TCP/IP connections?"""


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (CLOSED, "consuming input failed: server closed the connection unexpectedly"),
        (REFUSED, 'connection failed: connection to server at "db", port 5 failed: Connection refused'),
    ],
)
def test_guesses_at_the_cause_of_an_outage_are_left_out(given: str, told: str) -> None:
    error = sorted_out(psycopg.OperationalError(given))

    assert (type(error), str(error)) == (TargetUnavailableError, told)


def test_a_lock_that_does_not_come_free_says_how_to_find_who_holds_it() -> None:
    error = sorted_out(errors.LockNotAvailable("canceling statement due to lock timeout"))

    assert isinstance(error, TargetUnavailableError)
    assert "pg_stat_activity" in str(error)
