"""Weights in and out: the authors' and Facebook's files, Hugging Face folders, timm; nothing is executed."""
