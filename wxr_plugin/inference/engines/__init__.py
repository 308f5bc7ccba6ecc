"""Engines that run a network in place of torch, and the exported files that they run."""
