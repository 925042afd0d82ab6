"""The doctor: what a server is like, which guarantees follow, and how to mend what is missing."""
