"""Cases: tests of a pipeline as a file: given records, and the expected results."""
