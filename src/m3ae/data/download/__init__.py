"""Downloading a list with img2dataset: served from here where the pictures are ours, restartable."""
