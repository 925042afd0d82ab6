"""Ownership: who runs a pipeline, and which process may write where."""
