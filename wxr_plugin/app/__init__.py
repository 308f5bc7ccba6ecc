"""`wxr app`: a local page to restore, rate, correct labels and compare methods blindly."""
