"""Option files: reading them, their plug-ins, the command line, and checks."""
