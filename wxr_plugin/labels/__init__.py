"""Ratings, descriptions and pseudo-labels of real photos."""
