"""What a model knows of language: words from images, images from words, and features of both."""
