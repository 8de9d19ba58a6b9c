"""From the configuration to a model with its first weights."""

import torch

from m3ae.config.run import Run
from m3ae.model.architecture import Architecture
from m3ae.model.m3ae import M3AE


def architecture_of(run: Run, name: str, vocab_size: int) -> Architecture:
    """The architecture of a row of the grid."""
    settings, row = run.settings, run.model(name)
    shared, recipe = settings.architecture, settings.pretrain
    size, decoder, reads_text = shared.sizes[row.size], shared.decoder, row.method == "m3ae"
    text_mask_ratio = recipe.text_mask_ratio if row.text_mask_ratio is None else row.text_mask_ratio
    return Architecture(
        width=size.width,
        depth=size.depth,
        num_heads=size.heads,
        decoder_width=decoder.width,
        decoder_depth=decoder.depth,
        decoder_num_heads=decoder.heads,
        mlp_ratio=shared.mlp_ratio,
        image_px=settings.data.image.size_px,
        patch_px=shared.patch_px,
        vocab_size=vocab_size if reads_text else 0,
        max_tokens=settings.data.tokens.max_tokens,
        type_embedding=shared.type_embedding and reads_text,
        gelu=shared.gelu,
        image_mask_ratio=recipe.image_mask_ratio,
        text_mask_ratio=text_mask_ratio,
        mask_scope=recipe.mask_scope,
        norm_pix_loss=recipe.norm_pix_loss,
        image_loss_weight=recipe.image_loss_weight,
        text_loss_weight=recipe.text_loss_weight,
    )


def build_model(run: Run, name: str, vocab_size: int) -> M3AE:
    """The model with its initial weights, which depend on the run's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.settings.seed)
        return M3AE(architecture_of(run, name, vocab_size))


def count_parameters(model: M3AE) -> dict[str, int]:
    """Parameters in all, and those that a frozen encoder needs for images."""
    encoder = [model.patch_embedding, model.encoder]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "encoder_parameters": sum(p.numel() for module in encoder for p in module.parameters())
        + model.cls_token.numel(),
    }
