"""Frozen guides: CLIP, DA-CLIP and depth networks."""
