"""Restorers: a network that loads, tiles and writes photos."""
