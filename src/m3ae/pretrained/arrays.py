"""NumPy arrays out of an unpickled tree, rebuilt by our own code: numpy is told bytes, type and shape."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from m3ae.errors import UserError
from m3ae.pretrained.nodes import Call, Span

# numpy 2 moved its private modules; older files spell them numpy.core.
FROM_BUFFER = ("numpy._core.numeric._frombuffer", "numpy.core.numeric._frombuffer")
RECONSTRUCT = ("numpy._core.multiarray._reconstruct", "numpy.core.multiarray._reconstruct")
SCALAR = ("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar")
JAX_ARRAY = ("jax._src.array._reconstruct_array",)
NUMBERS = re.compile(r"[<>|=]?(f[248]|[iu][1248]|b1|\?)")
DTYPE = re.compile(r"numpy(\.\w+)*\.dtype")
MAX_VALUES = 2**40  # of one array


class ArrayReader:
    """The arrays of one file, each read when it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unread = path.stat().st_size  # no file holds more arrays than bytes

    def check(self, calls: list[Call]) -> None:
        """Refuse the file if any array type in it holds Python objects."""
        for call in calls:
            if not DTYPE.fullmatch(call.name):
                continue
            text = call.args[0] if call.args else None
            if isinstance(text, str) and ("O" in text or "object" in text):
                self.refuse("an array of Python objects, which could hide anything; weights are numbers")
            if not isinstance(text, str) or not NUMBERS.fullmatch(text):
                self.refuse("an array whose type is no plain number")

    def refuse(self, what: str) -> None:
        """Raise UserError: the file holds ``what``."""
        raise UserError(f"{self.path}: refused: it holds {what}")

    def is_array(self, node: Any) -> bool:
        """Whether a node of the tree is an array."""
        return isinstance(node, Call) and node.name in (*FROM_BUFFER, *RECONSTRUCT, *JAX_ARRAY)

    def read(self, node: Call, name: str) -> np.ndarray:
        """The array of a node. Raises UserError, one line, if it is not made of plain numbers."""
        try:
            data, dtype, shape, order = parts(node)
            dtype = dtype_of(dtype)
            count = math.prod(shape)
            if not isinstance(data, Span) or count * dtype.itemsize != data.size:
                size = data.size if isinstance(data, Span) else "no"
                raise ValueError(
                    f"shape {shape} of {dtype} expected {count * dtype.itemsize} bytes, got {size}"
                )
        except (ValueError, TypeError, IndexError) as error:
            raise UserError(f"{self.path}: {name}: not an array of plain numbers ({error})") from None
        self.unread -= data.size
        if self.unread < 0:
            self.refuse("one array under many names, more than its own size in all")
        flat = np.empty(count, dtype)
        with self.path.open("rb") as file:
            file.seek(data.offset)
            file.readinto(flat.view(np.uint8))  # type: ignore[arg-type]
        array = flat.reshape(shape, order=order)  # type: ignore[call-overload]
        return array.astype(dtype.newbyteorder("="), copy=False)


def parts(node: Call) -> tuple[Any, Any, tuple[int, ...], str]:
    """Bytes, type, shape and order of an array, from each of the ways in which numpy and jax pickle one."""
    if node.name in FROM_BUFFER:
        data, dtype, shape, order = node.args
    elif node.name in RECONSTRUCT:
        _, shape, dtype, is_fortran, data = node.state
        order = "F" if is_fortran else "C"
    else:
        _, _, (_, shape, dtype, is_fortran, data), *_ = node.args
        order = "F" if is_fortran else "C"
    if not isinstance(shape, tuple) or not all(type(side) is int and 0 <= side < 2**40 for side in shape):
        raise ValueError("its shape is not one of whole numbers")
    if math.prod(side or 1 for side in shape) > MAX_VALUES:
        raise ValueError("its shape is larger than any array of weights")
    if len(shape) > 8 or order not in ("C", "F"):
        raise ValueError("it has too many dimensions, or an order that is neither C nor F")
    return data, dtype, shape, order


def dtype_of(node: Any) -> np.dtype:
    """A type of plain numbers."""
    if not isinstance(node, Call) or node.name != "numpy.dtype":
        raise ValueError("its type is not numpy.dtype")
    text = node.args[0]
    if not isinstance(text, str) or not NUMBERS.fullmatch(text):
        raise ValueError(f"its type {str(text)[:40]!r} is no plain number")
    order = node.state[1] if isinstance(node.state, tuple) and len(node.state) > 1 else "="
    return np.dtype(text).newbyteorder(">" if order == ">" or text[0] == ">" else "<")


def number_of(node: Any, path: Path) -> Any:
    """A Python number of a node that may be numpy's scalar; anything else as it is."""
    if not isinstance(node, Call) or node.name not in SCALAR:
        return node
    try:
        type_, span = node.args
        dtype = dtype_of(type_)
        if not isinstance(span, Span) or span.size != dtype.itemsize:
            raise ValueError("its bytes are not its type's")
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: a scalar is no plain number ({error})") from None
    with path.open("rb") as file:
        file.seek(span.offset)
        return np.frombuffer(file.read(span.size), dtype)[0].item()
