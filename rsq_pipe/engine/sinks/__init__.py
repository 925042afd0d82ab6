"""Sinks: write records to targets, and acknowledge them together with the position reached."""
