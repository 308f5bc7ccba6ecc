"""Pseudo-labels during training: what the models of BasicSR and MMEngine share."""
