"""Small helpers that know nothing of restoration."""
