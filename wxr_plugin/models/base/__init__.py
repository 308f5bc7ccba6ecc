"""Collaborators of WxrModel: update step, checkpointer, validator, conditioning and precision."""
