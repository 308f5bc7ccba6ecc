"""Models; BasicSR's registry gets every `*_model.py` of this folder at its first lookup."""
