"""Tests of a pipeline as a file: given records, and what should become of them."""
