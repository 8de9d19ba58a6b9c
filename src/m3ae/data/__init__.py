"""Data: lists, downloads, clean shards, tokens, the deterministic stream, evaluation sets."""
