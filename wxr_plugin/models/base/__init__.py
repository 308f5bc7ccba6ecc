"""What the BasicSR models have in common: updates, checkpoints, validation."""
