"""From the configuration to the facts that fix a model. Imports no torch."""

from dataclasses import replace

from m3ae.config import rows
from m3ae.config.datasets import load_dataset
from m3ae.config.models import RunSettings
from m3ae.config.rows import REBUILDS
from m3ae.config.run import Run
from m3ae.model.architecture import Architecture, TextArchitecture
from m3ae.model.cost import num_classifier_parameters, num_clip_parameters, num_parameters


def architecture_of(run: Run, name: str, vocab_size: int) -> Architecture:
    """The architecture of a row of the grid."""
    row = run.model(name)
    settings = run.settings_of(name)
    whole = architecture_of_size(settings, row.size, vocab_size if row.method == "m3ae" else 0)
    if row.method in REBUILDS:
        return whole
    tower = replace(whole, decoder_width=0, decoder_depth=0, decoder_num_heads=0)
    return replace(tower, gelu="exact", positions="learned") if taken_weights(run, name) else tower


def taken_weights(run: Run, name: str) -> str | None:
    """The timm model whose weights a row takes in place of training.

    None for a row that trains, and for one of 0 epochs: that is the untrained encoder.
    """
    return rows.taken_weights(run.settings, run.model(name))


def text_architecture_of(run: Run, name: str, vocab_size: int) -> TextArchitecture:
    """What a CLIP row has beside its image tower."""
    settings = run.settings_of(name)
    clip, text = settings.clip, settings.clip.text
    return TextArchitecture(
        width=text.width,
        depth=text.depth,
        num_heads=text.heads,
        vocab_size=vocab_size,
        max_tokens=settings.data.tokens.max_tokens,
        embedding_dim=clip.embedding_dim,
        temperature=clip.temperature,
        max_scale=clip.max_scale,
    )


def num_classes(run: Run) -> int:
    """Classes that supervised training tells apart: those of the probe's first task."""
    task = run.settings.probe.tasks[0]
    return load_dataset(task.dataset).num_classes(task.label)


def num_parameters_of(run: Run, name: str, vocab_size: int) -> int:
    """All that a row trains and stores: CLIP with text tower and projections, a classifier with its head."""
    a, method = architecture_of(run, name, vocab_size), run.model(name).method
    if method == "clip":
        return num_clip_parameters(a, text_architecture_of(run, name, vocab_size))
    return num_classifier_parameters(a, num_classes(run)) if method == "supervised" else num_parameters(a)


def architecture_of_size(settings: RunSettings, size: str, vocab_size: int) -> Architecture:
    """A size of a run with its recipe; ``vocab_size=0`` makes it an MAE."""
    shared, recipe = settings.architecture, settings.pretrain
    encoder, decoder = shared.sizes[size], shared.decoder
    return Architecture(
        width=encoder.width,
        depth=encoder.depth,
        num_heads=encoder.heads,
        decoder_width=decoder.width,
        decoder_depth=decoder.depth,
        decoder_num_heads=decoder.heads,
        mlp_ratio=shared.mlp_ratio,
        image_px=settings.data.image.size_px,
        patch_px=shared.patch_px,
        vocab_size=vocab_size,
        max_tokens=word_slots(settings),
        type_embedding=shared.type_embedding and vocab_size > 0,
        gelu=shared.gelu,
        image_mask_ratio=recipe.image_mask_ratio,
        text_mask_ratio=recipe.text_mask_ratio,
        mask_scope=recipe.mask_scope,
        norm_pix_loss=recipe.norm_pix_loss,
        image_loss_weight=recipe.image_loss_weight,
        text_loss_weight=recipe.text_loss_weight,
    )


def word_slots(settings: RunSettings) -> int:
    """The longest text that a model is given: a caption, or a passage where the mixture has any.

    Positions are a formula, so that captions are encoded the same whatever the longest text is.
    """
    captions, texts = settings.data.tokens.max_tokens, settings.data.texts
    if texts is None or settings.pretrain.mixture.texts == 0:
        return captions
    return max(captions, texts.max_tokens)
