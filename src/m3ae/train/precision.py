"""Arithmetic of the forward pass."""

from contextlib import AbstractContextManager, nullcontext

import torch


def usable_precision(wanted: str, device: torch.device) -> str:
    """``wanted``, or fp32 where bf16 would be emulated: slower, and less exact."""
    return "fp32" if wanted == "bf16" and not has_bf16(device) else wanted


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies matrices in bf16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """The context of the forward pass: bf16 autocast, or plain fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
