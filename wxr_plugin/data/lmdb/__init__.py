"""Building and checking LMDBs of images."""
