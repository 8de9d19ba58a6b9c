"""Paired bootstraps, remembered between commands: drawing one again takes seconds.

``.cache/differences/{key}.json`` holds an interval; the key is a hash of everything that decides it: the
items, the settings, the code that draws, NumPy's version. The folder may be removed at any time.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numpy as np

from m3ae.errors import UserError
from m3ae.evaluate import auroc, bootstrap, precision
from m3ae.evaluate.bootstrap import Interval
from m3ae.files import write_text

FOLDER = Path(".cache/differences")
Bootstrap = Callable[..., Interval]


def remembered(function: Bootstrap) -> Bootstrap:
    """The function, but what it found once is read. Its arguments: tuples of `Items`, and numbers."""

    @wraps(function)
    def wrapper(*arguments: Any) -> Interval:
        path = FOLDER / f"{key(function, arguments)}.json"
        with suppress(OSError, ValueError, TypeError):
            return Interval(*map(float, json.loads(path.read_bytes())))
        found = function(*arguments)
        with suppress(UserError):  # a folder that is read-only: it is drawn again next time
            write_text(path, json.dumps(found) + "\n")
        return found

    return wrapper


def key(function: Bootstrap, arguments: tuple[Any, ...]) -> str:
    """The hash of the arguments and of the code."""
    plain = [
        [(item.dtype, item.data) for item in argument] if isinstance(argument, tuple) else argument
        for argument in arguments
    ]
    return hashlib.sha256(json.dumps([code(function), np.__version__, plain]).encode()).hexdigest()


@cache
def code(function: Bootstrap) -> str:
    """The hash of the files that say what is drawn."""
    files = [module.__file__ for module in (auroc, bootstrap, precision)] + [function.__code__.co_filename]
    content = b"".join(Path(str(file)).read_bytes() for file in files)
    return hashlib.sha256(content).hexdigest()
