"""From raw shards to clean ones: every sample is kept or rejected for one named reason."""
