"""What a run is: typed settings, loaded from ``config/<run>.yaml``. Light: no torch, no numpy."""

from m3ae.config.load import load_run
from m3ae.config.run import Run

__all__ = ["Run", "load_run"]
