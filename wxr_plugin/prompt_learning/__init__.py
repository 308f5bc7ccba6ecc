"""Learning of weather prompts (WResVLM, section 3.3)."""
