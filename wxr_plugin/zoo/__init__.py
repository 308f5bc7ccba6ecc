"""Published checkpoints as data: origin and licence of each, and how to load it."""
