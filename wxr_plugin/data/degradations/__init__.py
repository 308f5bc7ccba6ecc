"""Degradations that DA-CLIP trains on: weather, blur, noise, low light, drops and others."""
