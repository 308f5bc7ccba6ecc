"""Networks; BasicSR's registry gets every `*_arch.py` of this folder at its first lookup."""
