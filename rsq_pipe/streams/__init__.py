"""The stream library: producers, consumers and settlement on Redis Streams; alone imports redis."""
