"""The deterministic stream of training samples: order, crops, masks, batches."""
