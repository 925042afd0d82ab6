"""The spec: pipeline files, read, checked and resolved into a graph."""
