"""torchvision beside a torch that it was not built for.

The package index has torchvision as a CUDA build. Beside the CPU build of torch its compiled operators do not
load, and its import then stops at the first operator that it wants to describe; timm and transformers'
models stop with it. Declaring the missing operators' schemas is enough for the import. Then transforms,
timm and transformers work; the operators themselves (`ops.nms`, `io.decode_jpeg`) still do not.
"""

import importlib
import importlib.util
import sys

SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
kept_alive: list[object] = []  # a library's definitions vanish with it


def make_importable() -> None:
    """Let torchvision import, if it is installed and its operators are what hinders it."""
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        declare_operators()
        importlib.import_module("torchvision")


def declare_operators() -> None:
    """Declare the two operators that are described at import, and forget the import that failed."""
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(operator + SCHEMA)
    kept_alive.append(library)
