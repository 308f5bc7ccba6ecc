"""Option files: reading, plug-ins, the command line, and checks."""
