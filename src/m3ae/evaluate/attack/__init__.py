"""Adversarial attacks on the linear probe of a frozen encoder."""
