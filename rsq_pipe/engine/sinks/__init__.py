"""Sinks: what they are written, acknowledged with the position of that."""
