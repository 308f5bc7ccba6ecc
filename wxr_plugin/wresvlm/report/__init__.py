"""Scores, tables and pages of a WResVLM run."""
