"""Pseudo-labels during training, for the models of BasicSR and of MMEngine."""
