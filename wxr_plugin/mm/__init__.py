"""MMEngine as the second host: models, data, evaluators and hooks for its Runner."""
