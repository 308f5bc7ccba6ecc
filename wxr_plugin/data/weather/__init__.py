"""Synthetic rain, haze and snow on clean photographs."""
