"""Expressions: a checked subset of Python over a record's fields, from its grammar to what it runs as."""
