"""Frozen encoders: features, probes, out-of-distribution scores, held-out errors, intervals."""
