"""An open, end-to-end reproduction of M3AE (arXiv 2205.14204)."""

__version__ = "0.1.0"
