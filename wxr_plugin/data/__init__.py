"""Datasets; BasicSR's registry gets every `*_dataset.py` of this folder at its first lookup."""
