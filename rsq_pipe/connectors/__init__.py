"""Connectors: where records come from and go to; a file or a folder for each system."""
