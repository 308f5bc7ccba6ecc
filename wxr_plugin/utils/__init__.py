"""Helpers that know nothing of networks, photos or training."""
