"""Options: the values that several commands take, and what they mean."""
