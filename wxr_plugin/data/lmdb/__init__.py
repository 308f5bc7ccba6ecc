"""Building LMDBs and checking them."""
