"""Settings of the architecture, of pre-training, and the grid of models."""

from typing import Annotated, Literal

from pydantic import Field

from m3ae.config.base import Count, Positive, Range, Settings, Share
from m3ae.config.data import Image
from m3ae.config.evaluation import EvalSplit

Hidden = Annotated[float, Field(gt=0, le=1)]
"""A share of words: without one there is nothing to learn, and all of them can be told from an image."""


class Size(Settings):
    """One row of the size table."""

    width: Positive
    """Embedding dimension."""
    depth: Positive
    """Transformer blocks."""
    heads: Positive
    """Attention heads."""


class Architecture(Settings):
    """What all models of a run share."""

    patch_px: Positive
    """Side of a patch (pixels)."""
    mlp_ratio: Positive
    """Hidden width of a block's MLP over its width."""
    gelu: Literal["tanh", "exact"]
    """Form of GELU; the authors' code uses the tanh approximation."""
    type_embedding: bool
    """Add a learned embedding of the modality to patches and words (never for MAE rows)."""
    sizes: dict[str, Size]
    """Encoders by name."""
    decoder: Size
    """The decoder is the same for every encoder."""


class Mixture(Settings):
    """Relative weights of the kinds of samples in a step: the batch is split in these proportions."""

    pairs: Annotated[float, Field(gt=0)]
    """Images with captions (`data.source`)."""
    images: Annotated[float, Field(ge=0)]
    """Images alone (`data.images`)."""
    texts: Annotated[float, Field(ge=0)]
    """Passages of text alone (`data.texts`)."""


class Pretrain(Settings):
    """The masked-autoencoding recipe."""

    image_mask_ratio: Annotated[float, Field(gt=0, lt=1)]
    """Share of the patches that is hidden; int(n * (1 - ratio)) stay visible."""
    text_mask_ratio: Hidden
    """Share of the word slots that is hidden."""
    mask_scope: Literal["sample", "batch"]
    """Draw a mask for each sample, or one for the whole batch as the authors' code does."""
    norm_pix_loss: bool
    """Normalise each target patch by its own mean and variance (Facebook's MAE does, M3AE does not)."""
    image_loss_weight: Annotated[float, Field(ge=0)]
    """Weight of the mean squared error of hidden patches."""
    text_loss_weight: Annotated[float, Field(ge=0)]
    """Weight of the cross-entropy of hidden words."""
    unpaired_text_loss_weight: Annotated[float, Field(ge=0)]
    """Weight of the cross-entropy of hidden words in passages without image."""
    mixture: Mixture
    random_drop_text: Share
    """Chance that a pair loses its caption in an epoch, drawn anew in each; beside `paired_share`."""
    base_lr: Annotated[float, Field(gt=0)]
    """Peak learning rate for a batch of 256; scales with `batch_size`."""
    betas: Range
    """AdamW's decay rates."""
    eps: Annotated[float, Field(gt=0)]
    """AdamW's epsilon."""
    weight_decay: Annotated[float, Field(ge=0)]
    """AdamW's decoupled weight decay."""
    warmup_epochs: Annotated[float, Field(ge=0)]
    """Linear warm-up from 0, then cosine to 0, per step (epochs)."""
    precision: Literal["fp32", "bf16"]
    """Arithmetic of the forward pass; weights and optimiser stay in fp32."""
    store: Literal["fp32", "fp16"]
    """Precision of the weights that are kept when training is over; all that follows computes with these."""
    checkpoint_minutes: Annotated[float, Field(gt=0)]
    """Time between checkpoints of the training state (minutes)."""
    log_steps: Positive
    """Steps between two lines of the step log."""
    picture_steps: Count
    """Steps between two reconstruction pictures in logs/; 0 draws none."""


class Clip(Settings):
    """The contrastive baseline: an image and a text tower, after SLIP's CLIP."""

    text: Size
    """The text tower's transformer."""
    embedding_dim: Positive
    """Width of the space in which images and texts are compared."""
    temperature: Annotated[float, Field(gt=0)]
    """Where the learned temperature begins: from 1 / `max_scale` to 1."""
    max_scale: Annotated[float, Field(gt=0)]
    """Largest factor of the similarities: 1 / temperature never exceeds it."""
    image: Image
    """How images are seen, in place of `data.image`."""
    base_lr: Annotated[float, Field(gt=0)]
    """In place of `pretrain.base_lr`."""
    betas: Range
    """In place of `pretrain.betas`."""
    weight_decay: Annotated[float, Field(ge=0)]
    """In place of `pretrain.weight_decay`."""
    warmup_epochs: Annotated[float, Field(ge=0)]
    """In place of `pretrain.warmup_epochs`."""


class Supervised(Settings):
    """The supervised baseline: a ViT of the same size, trained on the labels of the probe's first task."""

    weights: str | None
    """Name of a timm model whose weights are taken in place of training; null trains."""
    rand_augment: str
    """RandAugment as timm writes it, such as `rand-m9-mstd0.5-inc1`; empty for none."""
    erase: Share
    """Chance that a random rectangle of an image is erased."""
    mixup: Annotated[float, Field(ge=0)]
    """Alpha of mixup; 0 for none."""
    cutmix: Annotated[float, Field(ge=0)]
    """Alpha of CutMix; 0 for none."""
    label_smoothing: Share
    """Share of a label that is spread over all classes."""
    image: Image
    """How images are seen, in place of `data.image`."""
    base_lr: Annotated[float, Field(gt=0)]
    """In place of `pretrain.base_lr`."""
    betas: Range
    """In place of `pretrain.betas`."""
    weight_decay: Annotated[float, Field(ge=0)]
    """In place of `pretrain.weight_decay`."""
    warmup_epochs: Annotated[float, Field(ge=0)]
    """In place of `pretrain.warmup_epochs`."""


class Model(Settings):
    """A row of the paper's tables."""

    method: Literal["m3ae", "mae", "clip", "supervised"]
    """`mae` is M3AE without text and type embeddings; `clip` and `supervised` are the baselines."""
    size: str
    """A key of `architecture.sizes`."""
    epochs: Annotated[float, Field(ge=0)]
    """Length of pre-training; 0 gives the untrained encoder (epochs of `samples_per_epoch`)."""
    text_mask_ratio: Hidden | None = None
    """Overrides `pretrain.text_mask_ratio` for this row."""
    paired_share: Share = 1.0
    """Share of the images that keep their caption; the others stay as images alone."""
    texts: Annotated[float, Field(ge=0)] | None = None
    """Overrides `pretrain.mixture.texts` for this row."""
    seed: Count | None = None
    """Overrides the run's seed for the pre-training of this row; further seeds of a row: `repeats`."""


class Heldout(Settings):
    """Errors on hidden patches and words of held-out pairs."""

    num_samples: Positive
    """Pairs that are used, from the start of the held-out set."""
    num_pictures: Count
    """Pairs shown in Figure 2."""
    images: list[EvalSplit]
    """Evaluation sets whose images are rebuilt, too, without any text."""
