"""Losses; BasicSR's registry gets every `*_loss.py` of this folder at its first lookup."""
