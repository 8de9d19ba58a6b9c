"""What a training keeps on disk while it lasts. Imports no torch."""

KEPT = 2  # checkpoints (the last one and that before it), beside the one that is being written
STATE_BYTES = 12  # of a parameter in a checkpoint: its value and both Adam moments in fp32
