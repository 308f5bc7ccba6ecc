"""Reading and writing of images, in folders and LMDBs."""
