"""Sink mysql: a table."""

from __future__ import annotations

from tests.contract.sinks.table import ServerTable
from tests.support.private_server import PASSWORD


class Target(ServerTable):
    server = "MariaDB"
    fixture = "mariadb"
    password = PASSWORD
    bad_said = "Incorrect integer value: 'seven' for column"
    login_said = "(using password: YES); correct `dsn`"
