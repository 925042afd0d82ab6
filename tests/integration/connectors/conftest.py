"""Servers for connectors."""

from __future__ import annotations

from tests.support.postgres import own_postgres, postgres, postgres_binaries

__all__ = ["own_postgres", "postgres", "postgres_binaries"]
