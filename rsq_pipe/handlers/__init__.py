"""Handlers: the functions and classes of a user's project, before a verb calls them."""
