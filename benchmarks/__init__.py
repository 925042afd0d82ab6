"""Benchmarks: `python -m benchmarks` runs all, `python -m benchmarks.hops` one. See docs/benchmarks.md."""
