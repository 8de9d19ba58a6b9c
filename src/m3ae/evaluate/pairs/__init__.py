"""Features of the run's own pairs, each encoded once: of the image, of the caption, of both together."""
