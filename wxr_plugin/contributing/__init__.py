"""Templates of `wxr new` for a new network (`string.Template`), and contract tests of networks."""
