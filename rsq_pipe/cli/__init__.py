"""The command line: one file per command, and packages of what several commands share."""
