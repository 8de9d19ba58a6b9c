"""The model: patches, positions, masking, blocks, M3AE. Needs torch alone."""
