"""What a pass through the model may be given: ValueError, one line, for anything else.

Annotated without shapes and types, which are what is checked here.
"""

import torch
from torch import Tensor


def check_inputs(image: Tensor | None, text: Tensor | None, padding: Tensor | None) -> None:
    """Raise ValueError unless there is something to read, in batches of one size, padding with its text."""
    if image is None and text is None:
        raise ValueError("expected an image, a text or both; got neither")
    if image is not None and image.ndim != 4:
        raise ValueError(
            f"expected images of shape (B, 3, S, S), got {tuple(image.shape)}; a single one needs image[None]"
        )
    if text is not None and (text.ndim != 2 or text.is_floating_point()):
        raise ValueError(
            f"expected text as whole numbers of shape (B, words), got {text.dtype} of {tuple(text.shape)}"
        )
    if image is not None and text is not None and image.shape[0] != text.shape[0]:
        raise ValueError(
            f"expected one text for each image, got {image.shape[0]} images and {text.shape[0]} texts"
        )
    if padding is not None:
        check_padding(text, padding)


def check_padding(text: Tensor | None, padding: Tensor) -> None:
    """Raise ValueError unless padding says of each word slot whether it is empty."""
    if text is None or padding.shape != text.shape:
        got = "no text" if text is None else f"a text of shape {tuple(text.shape)}"
        raise ValueError(f"expected padding in the shape of its text, got {tuple(padding.shape)} and {got}")
    if padding.dtype != torch.bool:
        raise ValueError(
            f"expected padding as booleans, True where a word slot is empty, got {padding.dtype}; of a "
            "mask that is 1 at words it is mask == 0"
        )


def check_order(name: str, order: Tensor | None) -> None:
    """Raise ValueError unless each row of an order has every place once.

    It waits for the device: for the public pass alone, never for a step of training.
    """
    if order is None or order.is_meta or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return
    if order.dtype != torch.int64:
        raise ValueError(f"{name}: expected places as torch.int64, got {order.dtype}")
    places = torch.arange(order.shape[-1] if order.ndim else 1, device=order.device)
    if not torch.equal(order.sort(dim=-1).values, places.expand_as(order)):
        raise ValueError(
            f"{name}: expected each place from 0 to {len(places) - 1} once in every row, got "
            f"{order.flatten()[:8].tolist()}{', ...' * (order.numel() > 8)}"
        )
