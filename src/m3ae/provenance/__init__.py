"""Where results come from: environments, the chain from a file to its inputs, research objects."""
