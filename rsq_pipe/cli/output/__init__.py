"""Output: text and tables for people, and what makes text safe to print."""
