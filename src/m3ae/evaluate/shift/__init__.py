"""Accuracy on changed images: ImageNet-C's corruptions, and sets that others took."""
