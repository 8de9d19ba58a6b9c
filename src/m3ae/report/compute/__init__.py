"""What a run cost, as its records state it, and what `paper` would cost, by arithmetic."""
