"""Pre-training: schedule, optimiser, checkpoints, step log, the loop."""
