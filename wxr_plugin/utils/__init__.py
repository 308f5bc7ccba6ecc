"""General helpers, independent of networks, photos and training."""
