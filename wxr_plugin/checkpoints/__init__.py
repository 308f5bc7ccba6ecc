"""Reading checkpoints of any container safely, fitting weights to a network, and resuming."""
