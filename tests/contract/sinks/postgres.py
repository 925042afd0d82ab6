"""Sink postgres: a table."""

from __future__ import annotations

from tests.contract.sinks.table import ServerTable
from tests.support.private_server import PASSWORD


class Target(ServerTable):
    server = "PostgreSQL"
    fixture = "postgres"
    password = PASSWORD
    bad_said = 'invalid input syntax for type integer: "seven"'
    login_said = 'password authentication failed for user "rsq"; correct `dsn`'
