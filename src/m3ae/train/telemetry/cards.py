"""What NVIDIA's data sheets say that a GPU computes. Imports no torch."""

import re
from typing import NamedTuple

TERA = 1e12


class Card(NamedTuple):
    """Dense peak rates of a GPU (TFLOP/s): where NVIDIA prints a number with sparsity, half of it."""

    name: str
    """All that its driver calls it, as a regular expression; so a slice of a GPU (MIG) is none of these."""
    fp32: float
    """Outside the tensor cores."""
    tf32: float | None
    bf16: float | None
    """With sums in fp32, as torch computes."""
    source: str


CARDS = (
    Card("NVIDIA H200", 67, 494.7, 989.4, "NVIDIA H200 data sheet, SXM"),
    Card("NVIDIA H200 NVL", 60, 417.5, 835.5, "NVIDIA H200 data sheet, NVL"),
    Card("NVIDIA GH200 (480|144G).*", 67, 494.7, 989.4, "NVIDIA GH200 data sheet"),
    Card(r"NVIDIA H100 \d+GB HBM\d", 67, 494.7, 989.4, "NVIDIA H100 data sheet, SXM"),
    Card("NVIDIA H100 PCIe", 51, 378, 756.5, "NVIDIA H100 PCIe product brief"),
    Card("NVIDIA H100 NVL", 60, 417.5, 835.5, "NVIDIA H100 data sheet, NVL"),
    Card(r"(NVIDIA )?A100[- ](SXM4?-|PCIE-)?\d+GB( PCIe)?", 19.5, 156, 312, "NVIDIA A100 data sheet"),
    Card("NVIDIA A30", 10.3, 82, 165, "NVIDIA A30 data sheet"),
    Card("NVIDIA A40", 37.4, 74.8, 149.7, "NVIDIA A40 data sheet"),
    Card("NVIDIA A10", 31.2, 62.5, 125, "NVIDIA A10 data sheet"),
    Card("NVIDIA L4", 30.3, 60, 121, "NVIDIA L4 data sheet"),
    Card("NVIDIA L40", 90.5, 90.5, 181.05, "NVIDIA L40 data sheet"),
    Card("NVIDIA L40S", 91.6, 183, 362.05, "NVIDIA L40S data sheet"),
    Card(r"Tesla V100-SXM2-\d+GB.*", 15.7, None, None, "NVIDIA V100 data sheet, SXM2"),
    Card(r"Tesla V100-PCIE-\d+GB", 14, None, None, "NVIDIA V100 data sheet, PCIe"),
    Card("Tesla V100S-PCIE-32GB", 16.4, None, None, "NVIDIA V100 data sheet, V100S"),
    Card("Tesla T4", 8.1, None, None, "NVIDIA T4 data sheet"),
    Card("NVIDIA GeForce RTX 4090", 82.6, 82.6, 165.2, "NVIDIA Ada white paper, app. A"),
    Card("NVIDIA GeForce RTX 3090", 35.6, 35.6, 71, "NVIDIA Ampere GA102 white paper, app. A"),
)


def card_of(name: str) -> Card | None:
    """The data sheet of the GPU that its driver calls ``name``; None if it is not known here."""
    return next((card for card in CARDS if re.fullmatch(card.name, name)), None)


def peak_of(name: str, precision: str) -> float | None:
    """Dense peak (FLOP/s) of the GPU that its driver calls ``name``; None where that is not known here.

    ``precision`` is `fp32` (no TF32), `tf32` or `bf16`.
    """
    card = card_of(name)
    peak = {"fp32": card.fp32, "tf32": card.tf32, "bf16": card.bf16}[precision] if card else None
    return None if peak is None else peak * TERA
