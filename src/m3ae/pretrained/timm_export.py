"""An image encoder as a timm `VisionTransformer`: the same numbers for images, in timm's names and folder.

Type embeddings become part of the positions (CLS has neither), patches a convolution. The tanh form of GELU
is stated in the folder's config.json, since timm's default is the exact one.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from m3ae.files import atomic_write, check_replaceable, new_folder, write_text
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE

FAMILY = "vit_base_patch16_224"  # timm's name whose constructor the model_args then override


def export_timm(model: M3AE, dst: Path, view: dict[str, list[float]]) -> None:
    """Write the encoder to ``dst``: a folder, or a `.safetensors`, `.pth` or `.pt` file of the state alone.

    The folder is opened by ``timm.create_model("local-dir:DST")``.
    """
    state, config = timm_state(model), timm_config(model.architecture, view)
    if dst.suffix == ".safetensors":
        with atomic_write(dst) as file:
            file.write(save(state, {"timm": json.dumps(config, sort_keys=True)}))
    elif dst.suffix in (".pth", ".pt"):
        with atomic_write(dst) as file:
            torch.save(state, file)
    else:
        check_replaceable(dst, ("config.json", "model.safetensors"))
        with new_folder(dst) as folder:
            with atomic_write(folder / "model.safetensors") as file:
                file.write(save(state, {"format": "pt"}))
            write_text(folder / "config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")


def timm_state(model: M3AE) -> dict[str, Tensor]:
    """Our encoder under timm's names."""
    a = model.architecture
    positions = model.get_buffer("image_positions")
    if a.type_embedding:
        positions = positions + model.get_parameter("image_type").detach()
    kernel = model.patch_embedding.weight.detach().unflatten(1, (a.patch_px, a.patch_px, 3))
    state = {
        "cls_token": model.cls_token.detach().view(1, 1, -1),
        "pos_embed": torch.cat([positions.new_zeros(1, a.width), positions])[None],
        "patch_embed.proj.weight": kernel.permute(0, 3, 1, 2),
        "patch_embed.proj.bias": model.patch_embedding.bias.detach(),
    }
    for name, tensor in model.encoder.state_dict().items():
        state[name.replace(".fc1.", ".mlp.fc1.").replace(".fc2.", ".mlp.fc2.")] = tensor
    return {name: tensor.cpu().contiguous() for name, tensor in state.items()}


def timm_config(a: Architecture, view: dict[str, list[float]]) -> dict:
    """timm's description of a model: which class, with which arguments, and how it sees images."""
    return {
        "architecture": FAMILY,
        "num_classes": 0,
        "num_features": a.width,
        "global_pool": "token",
        "model_args": {
            "img_size": a.image_px,
            "patch_size": a.patch_px,
            "embed_dim": a.width,
            "depth": a.depth,
            "num_heads": a.num_heads,
            "mlp_ratio": a.mlp_ratio,
            "num_classes": 0,
            "global_pool": "token",
            "act_layer": "gelu_tanh" if a.gelu == "tanh" else "gelu",
        },
        "pretrained_cfg": {
            "input_size": [3, a.image_px, a.image_px],
            "fixed_input_size": True,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": view["image_mean"],
            "std": view["image_std"],
            "num_classes": 0,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    }
