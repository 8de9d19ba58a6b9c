"""Facebook's MAE checkpoints: `{"model": state}`, full or encoder alone (facebookresearch/mae)."""

import argparse
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from m3ae.errors import UserError
from m3ae.model.architecture import Architecture
from m3ae.model.positions import patch_positions
from m3ae.pretrained.source import HEADS, IMAGENET, Source, heads_of, with_overrides

RENAME = [
    (r"^blocks\.", "encoder.blocks."),
    (r"^decoder_blocks\.", "decoder.blocks."),
    (r"\.mlp\.(fc[12])\.", r".\1."),
    (r"^norm\.", "encoder.norm."),
    (r"^decoder_norm\.", "decoder.norm."),
    (r"^decoder_embed\.", "decoder_embedding."),
    (r"^decoder_pred\.", "image_head."),
    (r"^patch_embed\.proj\.", "patch_embedding."),
    (r"^mask_token$", "image_mask_token"),
]

# Width and depth of what their models_mae.py defines: heads are then those of the table of widths.
THEIRS = {(768, 12): "ViT-B", (1024, 24): "ViT-L", (1280, 32): "ViT-H", (512, 8): "decoder"}


def read_facebook(path: Path, overrides: dict[str, Any]) -> Source:
    """The weights of an MAE of Facebook's. Raises UserError, one line, for anything else."""
    state = read_state(path)
    check_positions(state, "pos_embed", path)
    check_positions(state, "decoder_pos_embed", path)
    architecture = architecture_of(state, overrides, path)
    tensors = {
        our_name(name): our_layout(name, tensor)
        for name, tensor in state.items()
        if not name.endswith("pos_embed")
    }
    if not architecture.has_decoder:
        tensors.pop("image_mask_token", None)  # of no use without the decoder
    origin = {"kind": "facebook", "source": path.name, "normalisation": "imagenet"}
    return Source(with_overrides(architecture, overrides, path), tensors, origin, IMAGENET)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors under `model`; torch builds tensors and plain data alone."""
    is_zip = zipfile.is_zipfile(path)
    if is_zip:
        check_zip(path)
    try:
        # Facebook's own training writes its flags beside the weights: a namespace, which does nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            # The files are torch's own format, which torch alone reads; weights_only calls nothing but
            # constructors of tensors and of plain data (tests/test_unpickle.py tries to make it).
            # Archives are mapped, so that a large one is not in memory twice; older files cannot be.
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # torch raises many kinds for a damaged file
        named = re.search(r"(?:GLOBAL|function) ([\w.]+)", str(error))
        if named:
            raise UserError(
                f"{path}: refused: it asks for {named[1]}, and weights need nothing of it"
            ) from None
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise UserError(
            f"{path}: expected a whole PyTorch file, found one that is cut off or of another kind ({reason})"
        ) from None
    state = loaded.get("model", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or "patch_embed.proj.weight" not in state:
        raise UserError(
            f"{path}: expected Facebook's MAE, a dict with the weights under 'model'; got something else"
        )
    if not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()):
        raise UserError(f"{path}: expected nothing but tensors under 'model'; got something else")
    return state


def check_zip(path: Path) -> None:
    """Refuse an archive that unpacks to more than it is: torch stores its files uncompressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise UserError(f"{path}: expected a whole PyTorch file, found a damaged archive ({error})") from None
    compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if compressed or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise UserError(
            f"{path}: refused: a compressed archive, which may unpack to any size; torch writes none"
        )


def check_positions(state: dict[str, Tensor], name: str, path: Path) -> None:
    """Refuse positions other than the fixed ones: our model computes its own."""
    if name not in state:
        return
    stored = state[name].float()
    count = stored.shape[1] - 1 if stored.ndim == 3 else -1
    if count < 1 or round(count**0.5) ** 2 != count or stored.shape[2] % 4:
        raise UserError(
            f"{path}: {name}: expected (1, 1 + patches, width) of a square image, got {tuple(stored.shape)}"
        )
    expected = torch.cat([torch.zeros(1, stored.shape[2]), patch_positions(stored.shape[2], count)])
    if not torch.allclose(stored[0], expected, atol=1e-3):
        raise UserError(
            f"{path}: {name}: expected MAE's fixed sine-cosine positions, got others; fine-tuned models are "
            "not supported"
        )


def our_name(name: str) -> str:
    """Our name of one of their parameters."""
    for pattern, replacement in RENAME:
        name = re.sub(pattern, replacement, name)
    return name


def our_layout(name: str, tensor: Tensor) -> Tensor:
    """Their parameter in our layout, fp32: tokens flat, the patch convolution as a matrix."""
    if name == "patch_embed.proj.weight":
        tensor = tensor.permute(0, 2, 3, 1).flatten(1)  # channel last, as in a patch
    elif name in ("cls_token", "mask_token"):
        tensor = tensor.flatten()
    return tensor.float().clone(memory_format=torch.contiguous_format)  # off the mapped file


def architecture_of(state: dict[str, Tensor], overrides: dict[str, Any], path: Path) -> Architecture:
    """What shapes tell; heads by the table of widths."""
    try:
        width, _, patch_px, _ = state["patch_embed.proj.weight"].shape
        mlp_width = state["blocks.0.mlp.fc1.weight"].shape[0]
        side = round((state["pos_embed"].shape[1] - 1) ** 0.5)
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(f"{path}: expected Facebook's MAE; its weights lack or distort {error}") from None
    depth, decoder_depth = count_blocks(state, "blocks"), count_blocks(state, "decoder_blocks")
    decoder = state.get("decoder_embed.weight")
    decoder_width = 0 if decoder is None else decoder.shape[0]
    return Architecture(
        width=width,
        depth=depth,
        num_heads=their_heads(width, depth, "num_heads", overrides, path),
        decoder_width=decoder_width,
        decoder_depth=decoder_depth,
        decoder_num_heads=their_heads(decoder_width, decoder_depth, "decoder_num_heads", overrides, path)
        if decoder_width
        else 1,
        mlp_ratio=mlp_width // width,
        image_px=side * patch_px,
        patch_px=patch_px,
        vocab_size=0,
        type_embedding=False,
        gelu="exact",
        mask_scope="sample",
    )


def their_heads(width: int, depth: int, setting: str, overrides: dict[str, Any], path: Path) -> int:
    """Attention heads, as in ``heads_of``. Raises UserError where Facebook's own model has other ones.

    Nothing in the file would tell: any divisor of the width loads, and computes other features. Whoever
    trained such a model converts the file to a folder, whose settings can be replaced.
    """
    heads, known = heads_of(width, setting, overrides, path), THEIRS.get((width, depth))
    if known and heads != HEADS[width]:
        raise UserError(
            f"{path}: {setting}: expected {HEADS[width]}, as Facebook's {known} has ({width} wide, {depth} "
            f"blocks), got {heads}, which would compute other features; leave it out"
        )
    return heads


def count_blocks(state: dict[str, Tensor], stack: str) -> int:
    """How many blocks a transformer has."""
    return len({name.split(".")[1] for name in state if name.startswith(f"{stack}.")})
