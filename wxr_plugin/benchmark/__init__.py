"""Methods over sets: restoring, measuring, keeping the results and telling of them."""
