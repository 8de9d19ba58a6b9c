"""What a training tells of itself: energy, memory, speed, spikes, event files, pictures."""
