"""What `wxr new` writes for those who add a network; its files are templates for `string.Template`."""
