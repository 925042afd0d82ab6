"""Handlers: the functions and classes that a user's project brings, before a verb calls them."""
