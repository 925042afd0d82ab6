"""Failures: what becomes of records and runs that failed, and what is said about it."""
