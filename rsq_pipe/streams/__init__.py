"""Streams: producers, consumers and settlement on Redis Streams; no other package imports redis."""
