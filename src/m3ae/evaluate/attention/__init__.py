"""Where words and patches look: pointing at what is known, and pairs to show."""
