"""`tiny`: scenes of real handwritten digits, with captions, made from a seed."""
