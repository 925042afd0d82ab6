"""The spec: pipeline files, parsed, checked and resolved into a graph."""
