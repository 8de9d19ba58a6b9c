"""A timm model in place of a training: for `paper` DeiT-B, as its supervised row (docs/fidelity.md).

Its weights become a `Classifier` of ours with timm's features and logits; names and layouts after timm's
vision_transformer.py. The class token's position goes into `cls_token`, the patches' are a learned table.
"""

import re
from typing import Any

import torch
from torch import Tensor, nn

from m3ae.config.run import Run
from m3ae.errors import UserError
from m3ae.model.architecture import Architecture
from m3ae.model.blocks import EPS
from m3ae.model.classifier import Classifier
from m3ae.model.weights import assemble
from m3ae.torchvision_ops import make_importable
from m3ae.train.architecture import architecture_of, num_classes, taken_weights
from m3ae.train.build import Model, encoder_of
from m3ae.train.ranks import Ranks
from m3ae.train.results import write_taken
from m3ae.train.state import inputs_of
from m3ae.train.telling import say

ViT = Any  # timm's VisionTransformer, whose blocks have no types; timm is imported when it is needed
MOST_APART = 1e-3  # of features of size 1; another order of sums makes about 1e-5
RENAME = [
    (r"^(blocks|norm)\.", r"encoder.\1."),
    (r"\.mlp\.(fc[12])\.", r".\1."),
    (r"^patch_embed\.proj\.", "patch_embedding."),
]


def take_weights(ranks: Ranks, run: Run, name: str, started: float) -> None:
    """Write encoder, empty step log and record of a row from the timm model that its settings name.

    Raises UserError, one line, if there are no such weights or they are not of the row's architecture;
    nothing is written then.
    """
    weights = taken_weights(run, name)
    assert weights is not None
    with ranks.first_does("take the weights"):
        if not ranks.is_first:
            return
        inputs, architecture = inputs_of(run, name), architecture_of(run, name, 0)
        vit = load_timm(weights)
        check(plain(vit), "DeiT has it", weights)
        check(stated(run, name, vit), f"config/{run.name}.yaml has it for {name}", weights)
        model, head = converted(vit, architecture, num_classes(run), weights)
        check_same(model, vit, weights)
        origin = origin_of(vit, weights)
        facts = {"started": started, "inputs": inputs, "origin": origin, "provenance": {"taken": origin}}
        write_taken(run, name, model, {"taken": weights, "head": head}, facts)
        say(f"{name}: taken from timm's {weights}, not trained; {run.paths.encoder(name)}")


def load_timm(weights: str) -> ViT:
    """The model with its weights, in eval mode, fp32. Raises UserError if timm has no such ViT to give."""
    make_importable()
    import timm

    try:
        vit = timm.create_model(weights, pretrained=True)
    except Exception as error:  # unknown, offline, gone: timm and the hub's library have many kinds
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"supervised.weights: expected one of timm.list_pretrained(), got none for {weights!r} "
            f"({reason}); let this machine reach huggingface.co/timm/{weights} once, or put that into the "
            "hub's cache (HF_HOME) and set HF_HUB_OFFLINE=1, or train the row: supervised.weights: null"
        ) from None
    if not isinstance(vit, timm.models.VisionTransformer):
        raise UserError(f"supervised.weights: expected a ViT, got {weights}, a {type(vit).__name__}")
    return vit.eval().float()


def check(expectations: list[tuple[str, Any, Any]], stated_by: str, weights: str) -> None:
    """Raise UserError at the first (fact, expected, got) whose last two differ."""
    for fact, expected, got in expectations:
        if got != expected:
            raise UserError(
                f"supervised.weights: {fact}: expected {expected} as {stated_by}, got {got} of {weights}; "
                "name another model, or make the settings of architecture and supervised.image its own"
            )


def plain(vit: ViT) -> list[tuple[str, Any, Any]]:
    """What our encoder has; what else there may be shows in the names of weights (``converted``)."""
    eps = {module.eps for module in vit.modules() if isinstance(module, nn.LayerNorm)}
    acts = {str(getattr(getattr(block, "mlp", None), "act", None)) for block in vit.blocks}
    table = () if vit.pos_embed is None else tuple(vit.pos_embed.shape)
    return [
        ("eps of LayerNorm", {EPS}, eps),
        ("activation", {str(nn.GELU())}, acts),
        ("pooling", "token", vit.global_pool),
        ("positions", (1, 1 + vit.patch_embed.num_patches, vit.embed_dim), table),
    ]


def stated(run: Run, name: str, vit: ViT) -> list[tuple[str, Any, Any]]:
    """What the configuration says of the row: its size, and how its images are normalised."""
    a, image = architecture_of(run, name, 0), run.settings_of(name).data.image
    block, config = vit.blocks[0], getattr(vit, "pretrained_cfg", None) or {}
    return [
        ("width", a.width, vit.embed_dim),
        ("depth", a.depth, len(vit.blocks)),
        ("heads", a.num_heads, block.attn.num_heads),
        ("mlp_ratio", a.mlp_ratio, block.mlp.fc1.out_features / vit.embed_dim),
        ("patch_px", a.patch_px, vit.patch_embed.patch_size[0]),
        ("size_px", a.image_px, vit.patch_embed.img_size[0]),
        ("mean", image.mean, list(config.get("mean") or image.mean)),
        ("std", image.std, list(config.get("std") or image.std)),
    ]


def converted(vit: ViT, architecture: Architecture, classes: int, weights: str) -> tuple[Model, str]:
    """The model as ours, and what became of its head: kept if it has ``classes`` classes, else left out."""
    state = vit.state_dict()
    head = {kind: state.pop(f"head.{kind}") for kind in ("weight", "bias") if f"head.{kind}" in state}
    cls, patches = state.pop("pos_embed")[0].tensor_split([1])
    state["cls_token"] = state["cls_token"].flatten() + cls.flatten()
    kernel = state["patch_embed.proj.weight"]
    state["patch_embed.proj.weight"] = kernel.permute(0, 2, 3, 1).flatten(1)  # channel last, as in a patch
    tensors = {our_name(name): tensor.contiguous() for name, tensor in state.items()}
    tower = assemble(architecture, tensors | {"image_positions": patches.clone()}, weights).eval()
    if vit.num_classes != classes or len(head) != 2:
        return tower, f"left out: of {vit.num_classes} classes, the probe's first task has {classes}"
    with torch.device("meta"):
        model = Classifier(architecture, classes)
    model.image_tower = tower
    model.head.load_state_dict(head, assign=True)
    return model.eval(), "kept"


def our_name(name: str) -> str:
    """Our name of one of timm's parameters."""
    for pattern, replacement in RENAME:
        name = re.sub(pattern, replacement, name)
    return name


@torch.inference_mode()
def check_same(model: Model, vit: ViT, weights: str) -> None:
    """Raise UserError unless ours gives timm's tokens, and logits, for an image of noise."""
    size = model.architecture.image_px
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    pairs: list[tuple[Tensor, Tensor]] = [(encoder_of(model).encode(image), vit.forward_features(image))]
    pairs += [(model(image), vit(image))] if isinstance(model, Classifier) else []
    apart = max(float((ours - theirs).abs().max()) for ours, theirs in pairs)
    if not apart < MOST_APART:
        raise UserError(
            f"supervised.weights: expected timm's features of {weights} from our encoder too, got ones that "
            f"are {apart:.2g} apart: it has something that ours has not; name another model"
        )


def origin_of(vit: ViT, weights: str) -> dict[str, Any]:
    """Where the weights came from, for their file and their record."""
    import timm

    stated = getattr(vit, "pretrained_cfg", None) or {}
    facts = {name: stated.get(name) for name in ("hf_hub_id", "tag", "license")}
    seen = stated.get("mean"), stated.get("std")
    if seen == (timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD):
        facts["normalisation"] = "imagenet"  # as pretrained/ reads it in a file without its record
    origin = {"kind": "timm", "source": weights, "timm": timm.__version__, **facts}
    return {name: value for name, value in origin.items() if value}
