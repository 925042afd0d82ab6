"""Pauses: why a worker does not read or handle, and until when."""
