"""The command line: it parses, calls, prints. What is heavy is imported where it is used, so that `--help` answers at once."""
