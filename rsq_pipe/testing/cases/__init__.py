"""Tests of a pipeline as a file: given records, and what is to become of them."""
