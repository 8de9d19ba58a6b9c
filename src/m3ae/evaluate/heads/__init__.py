"""Heads on a frozen encoder's features, and fine-tuning: pure functions that never choose by a test label."""
