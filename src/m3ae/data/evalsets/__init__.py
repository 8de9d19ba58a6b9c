"""Evaluation sets: checked against the registry, then streamed."""
