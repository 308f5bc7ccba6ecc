"""Degradations beyond weather: blur, noise, low light, drops, shadows and others, as DA-CLIP trains on."""
