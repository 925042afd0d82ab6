"""Benchmarks: see docs/benchmarks.md. `python -m benchmarks` runs them all, `python -m benchmarks.hops` one."""
