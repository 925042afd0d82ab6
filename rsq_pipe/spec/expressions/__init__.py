"""Expressions: a checked subset of Python over a record's fields, from the grammar to running code."""
