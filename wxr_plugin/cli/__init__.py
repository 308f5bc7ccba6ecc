"""The `wxr` command: one file for each sub-command."""
