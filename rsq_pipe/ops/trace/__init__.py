"""Traces: the way of one record through its pipeline."""
