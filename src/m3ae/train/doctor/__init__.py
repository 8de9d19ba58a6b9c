"""``m3ae doctor``: what a machine makes of a run before it starts; what binds, and what to change."""
