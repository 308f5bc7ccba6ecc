"""A trained network as a repository of the Hugging Face hub: weights, configuration, model card."""
