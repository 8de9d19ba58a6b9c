"""The step log for TensorBoard, on request."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from m3ae.errors import UserError


class Board:
    """Writes event files of one training into a folder."""

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        """What an earlier process wrote of ``purge_step`` and later steps is no longer shown.

        Raises UserError where TensorBoard is not installed, or the folder cannot be written.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError(
                "TensorBoard's event files were asked for, and it is not installed: "
                "pip install 'm3ae[tensorboard]', or leave out --tensorboard"
            ) from None
        self.folder = folder
        with self.writing():
            self.writer = SummaryWriter(str(folder), purge_step=purge_step)

    def write(self, line: Mapping[str, Any]) -> None:
        """Show the numbers of a line of the step log, under their names there."""
        with self.writing():
            for name, value in line.items():
                if name != "step" and isinstance(value, int | float):
                    self.writer.add_scalar(name, value, line["step"])
            self.writer.flush()

    def picture(self, step: int, picture: UInt8[np.ndarray, "height width 3"]) -> None:
        """Show reconstructions after ``step`` steps."""
        with self.writing():
            self.writer.add_image("reconstructions", picture, step, dataformats="HWC")
            self.writer.flush()

    def close(self) -> None:
        """Write what is left, and end the file."""
        with self.writing():
            self.writer.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say in one line that the folder or the disk refuses."""
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.folder}: TensorBoard's event files cannot be written ({error.strerror or error}); "
                "choose another folder, or make room, then run the command again"
            ) from None
