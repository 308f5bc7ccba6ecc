"""Published checkpoints: what each is, where it is from and how it is loaded; one data file a method lies beside."""
