"""All stages of WResVLM as one resumable run."""
