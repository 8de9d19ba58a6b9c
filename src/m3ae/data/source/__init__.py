"""Where samples come from: lists of URLs, files that hold images, and the pictures that `tiny` makes."""
