"""The demo: a run of WResVLM at toy size on packaged photos."""
