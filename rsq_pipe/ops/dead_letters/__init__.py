"""Dead letters: finding, reading, editing, replaying and deleting them."""
