"""The authors' checkpoints: a cloudpickle of {step, epoch, variant, state}, read without executing it.

Follows m3ae_main.py and model.py of young-geng/m3ae_public (docs/fidelity.md, item 15). M3AE and MAE, as
released or as training wrote them; the optimiser's arrays are never read.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from m3ae.errors import UserError
from m3ae.model.architecture import Architecture
from m3ae.pretrained.arrays import ArrayReader, number_of
from m3ae.pretrained.nodes import Call, Unpickled
from m3ae.pretrained.source import CC12M, IMAGENET, Source, heads_of, with_overrides
from m3ae.pretrained.unpickle import read_pickle

LAYOUT = "a checkpoint of the authors' code: {step, epoch, variant, state} with state.params['params']"
MAX_ARRAYS = 10_000
MAX_NESTING = 16
MAX_NAME = 200
# Bounds on what flags may say, so that no file asks for memory that no model needs.
BOUNDS = {"image_size": 4096, "tokenizer_max_length": 65_536, "num_heads": 1024, "dec_num_heads": 1024}

# their name of a parameter -> ours
NAMES = {
    "cls_token": "cls_token",
    "image_mask_embedding": "image_mask_token",
    "text_mask_embedding": "text_mask_token",
    "encoder_image_type_embedding": "image_type",
    "encoder_text_type_embedding": "text_type",
    "decoder_image_type_embedding": "decoder_image_type",
    "decoder_text_type_embedding": "decoder_text_type",
    "text_embedding/embedding": "word_embedding.weight",
}
# their module -> ours
MODULES = {
    "image_embedding": "patch_embedding",
    "decoder_input_projection": "decoder_embedding",
    "decoder_image_output/Dense_0": "image_head",
    "decoder_text_output/Dense_0": "text_head",
    "LayerNorm_0": "norm",
    "Block/LayerNorm_0": "norm1",
    "Block/LayerNorm_1": "norm2",
    "Block/Attention_0/Dense_0": "attn.qkv",
    "Block/Attention_0/Dense_1": "attn.proj",
    "Block/TransformerMLP_0/fc1": "fc1",
    "Block/TransformerMLP_0/fc2": "fc2",
}
KINDS = {"kernel": "weight", "scale": "weight", "bias": "bias"}


def read_authors(path: Path, overrides: dict[str, Any]) -> Source:
    """The weights of a checkpoint of the authors' code. Raises UserError, one line, for anything else."""
    unpickled = read_pickle(path)
    reader = ArrayReader(path)
    reader.check(unpickled.calls)
    variant = variant_of(unpickled)
    tensors = {}
    for name, node in leaves(params_of(unpickled, path), path):
        if not reader.is_array(node):
            raise UserError(f"{path}: {name}: expected an array, got {type(node).__name__}")
        tensors[our_name(name, path)] = tensor_of(reader.read(node, name), name)
    architecture = with_overrides(architecture_of(tensors, variant, overrides, path), overrides, path)
    normalisation = "imagenet" if setting(variant, "image_normalization") == "imagenet" else "cc12m"
    origin = {
        "kind": "authors",
        "source": path.name,
        "normalisation": normalisation,
        **{key: number_of(unpickled.root.get(key), path) for key in ("step", "epoch")},
    }
    check_counts(origin, path)
    origin = {key: value for key, value in origin.items() if value is not None}
    return Source(architecture, tensors, origin, IMAGENET if normalisation == "imagenet" else CC12M)


def check_counts(origin: dict[str, Any], path: Path) -> None:
    """Raise UserError unless step and epoch are numbers, or absent."""
    for key in ("step", "epoch"):
        value = origin[key]
        if isinstance(value, Call):  # an array: of no use here
            origin[key] = None
        elif value is not None and not (isinstance(value, int | float) and abs(value) < 2**63):
            raise UserError(f"{path}: {key}: expected a number, got something else")


def variant_of(unpickled: Unpickled) -> dict[str, Any]:
    """The flat dict of the flags that the model was trained with; empty where the file has none."""
    variant = unpickled.root.get("variant") if isinstance(unpickled.root, dict) else None
    return mapping(variant) or {}


def params_of(unpickled: Unpickled, path: Path) -> dict[str, Any]:
    """``state.params["params"]``, where the weights are."""
    state = unpickled.root.get("state") if isinstance(unpickled.root, dict) else None
    if isinstance(state, Call):
        state = state.state
    params = mapping(mapping(state or {}).get("params")).get("params")
    if not mapping(params):
        raise UserError(f"{path}: expected {LAYOUT}; got a pickle of something else")
    return mapping(params)


def mapping(node: Any) -> dict[Any, Any]:
    """A dict, also where it is an OrderedDict or flax's FrozenDict; else an empty one."""
    for _ in range(MAX_NESTING):
        if not isinstance(node, Call) or node.name.rpartition(".")[2] not in ("OrderedDict", "FrozenDict"):
            break
        node = node.pairs or (node.args[0] if node.args else {})
    return node if isinstance(node, dict) else {}


def leaves(tree: dict[Any, Any], path: Path) -> Iterator[tuple[str, Any]]:
    """Parameters by their path in the tree, such as `encoder/Block_0/Attention_0/Dense_0/kernel`."""
    pending: list[tuple[list[str], Any]] = [([], tree)]
    for _ in range(MAX_ARRAYS):
        if not pending:
            return
        parents, node = pending.pop()
        children = mapping(node)
        if not children:
            yield "/".join(parents), node
        elif len(parents) >= MAX_NESTING:
            break
        if not all(isinstance(key, str) and key.isprintable() and len(key) < MAX_NAME for key in children):
            raise UserError(f"{path}: refused: a parameter's name is no short line of text")
        pending += [([*parents, key], child) for key, child in children.items()]
        if len(pending) > MAX_ARRAYS:
            break
    raise UserError(f"{path}: refused: its parameters are nested or repeated without an end")


def our_name(name: str, path: Path) -> str:
    """Our name of one of their parameters."""
    if name in NAMES:
        return NAMES[name]
    found = re.fullmatch(r"(?:(encoder|decoder)/)?(?:Block_(\d+)/)?(.+)/(kernel|scale|bias)", name)
    if found:
        stack, block, module, kind = found.groups()
        module = MODULES.get(f"Block/{module}" if block else module)
        if module and (stack is not None) == (block is not None or module == "norm"):
            middle = f"{stack}." * bool(stack) + f"blocks.{block}." * bool(block)
            return f"{middle}{module}.{KINDS[kind]}"
    raise UserError(
        f"{path}: {name[:100]}: not a parameter of M3AE or MAE; models with output_head_depth above 0, with "
        "discretised images, or fine-tuned, are not supported"
    )


def tensor_of(array: np.ndarray, name: str) -> Tensor:
    """A parameter in torch's layout, fp32: kernels transposed, tokens without their axes of size 1."""
    tensor = torch.from_numpy(array)
    if name.endswith("/kernel"):
        tensor = tensor.t() if tensor.ndim == 2 else tensor
    elif tensor.ndim == 3 and tensor.shape[:2] == (1, 1):
        tensor = tensor[0, 0]
    return tensor.float().contiguous()


def setting(variant: dict[str, Any], name: str) -> Any:
    """A flag of the data (`data.` for M3AE, `cc12m_data.` for MAE) or of the model (`m3ae.`, `mae.`)."""
    for prefix in ("m3ae.", "mae.", "data.", "cc12m_data.", "imagenet_data.", ""):
        if (value := variant.get(prefix + name)) is not None:
            return value
    return None


def architecture_of(
    tensors: dict[str, Tensor], variant: dict[str, Any], overrides: dict[str, Any], path: Path
) -> Architecture:
    """What shapes tell, and what they cannot from the flags."""
    try:
        width, patch_values = tensors["patch_embedding.weight"].shape
        decoder_width = tensors["decoder_embedding.weight"].shape[0]
        mlp_width = tensors["encoder.blocks.0.fc1.weight"].shape[0]
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(f"{path}: expected {LAYOUT}; its parameters lack or distort {error}") from None
    patch_px = round((patch_values / 3) ** 0.5)
    word_embedding = tensors.get("word_embedding.weight")
    if not width or patch_px**2 * 3 != patch_values or mlp_width % width:
        raise UserError(f"{path}: expected patches of p x p x 3 values and whole MLP ratios, got others")
    return Architecture(
        width=width,
        depth=count_blocks(tensors, "encoder"),
        num_heads=heads(variant, "num_heads", "num_heads", width, overrides, path),
        decoder_width=decoder_width,
        decoder_depth=count_blocks(tensors, "decoder"),
        decoder_num_heads=heads(
            variant, "dec_num_heads", "decoder_num_heads", decoder_width, overrides, path
        ),
        mlp_ratio=mlp_width // width,
        image_px=number(variant, "image_size", int, 16 * patch_px, path),
        patch_px=patch_px,
        vocab_size=0 if word_embedding is None else word_embedding.shape[:1].numel(),
        max_tokens=number(variant, "tokenizer_max_length", int, 64, path),
        type_embedding="image_type" in tensors,
        gelu="tanh",
        image_mask_ratio=number(variant, "image_mask_ratio", float, 0.75, path),
        text_mask_ratio=number(variant, "text_mask_ratio", float, 0.75, path),
        mask_scope="batch",
        image_loss_weight=number(variant, "image_loss_weight", float, 1.0, path),
        text_loss_weight=number(variant, "text_loss_weight", float, 0.5, path),
    )


def heads(
    variant: dict[str, Any], flag: str, name: str, width: int, overrides: dict[str, Any], path: Path
) -> int:
    """The flag, unless a named model type makes it the default of another model."""
    flagged = setting(variant, flag) is not None and setting(variant, "model_type") is None
    if flagged and name not in overrides:
        overrides = {**overrides, name: number(variant, flag, int, None, path)}
    return heads_of(width, name, overrides, path)


def number(variant: dict[str, Any], flag: str, kind: type, default: Any, path: Path) -> Any:
    """A flag that must be a number within its bounds; the default where there is none."""
    value = setting(variant, flag)
    if value is None:
        return default
    least, most = (1, BOUNDS[flag]) if kind is int else (0, 1e6)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise UserError(f"{path}: {flag}: expected a number from {least} to {most}, got something else")
    return kind(value)


def count_blocks(tensors: dict[str, Tensor], stack: str) -> int:
    """How many blocks a transformer has."""
    return len({name.split(".")[2] for name in tensors if name.startswith(f"{stack}.blocks.")})
