"""The doctor: how a server is set up, which guarantees follow, and how to fix what is missing."""
