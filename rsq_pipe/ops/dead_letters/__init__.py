"""Dead letters: found, read, mended, sent back and thrown away."""
