"""Expressions: a checked subset of Python over a record's fields, from grammar to running code."""
