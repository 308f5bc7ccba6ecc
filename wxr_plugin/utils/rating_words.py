"""The words of a rating; apart from the raters, which import torch."""

RATING_WORDS = ("excellent", "good", "fair", "poor", "bad")
