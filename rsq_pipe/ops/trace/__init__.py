"""Traces: the path of one record through its pipeline."""
