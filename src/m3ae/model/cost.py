"""What a model costs, by arithmetic on its architecture alone: parameters, and FLOPs per training sample.

A multiply-add is two FLOPs. Linear layers and the two products of attention count; softmax, norms,
activations, look-ups and sums do not. The backward pass counts as two forward passes.
"""

from dataclasses import dataclass
from typing import NamedTuple

from m3ae.model.architecture import Architecture, TextArchitecture

Number = int | float  # counts are whole, means of them need not be
PASSES = 3  # forward, gradients of the inputs, gradients of the weights


@dataclass(frozen=True)
class Flops:
    """FLOPs of one sample's forward pass, part by part."""

    embedding: Number
    """Of patches; words are looked up."""
    encoder: Number
    projection: Number
    """From the encoder's width to the decoder's."""
    decoder: Number
    heads: Number

    @property
    def forward(self) -> Number:
        """All parts."""
        return self.embedding + self.encoder + self.projection + self.decoder + self.heads

    @property
    def training(self) -> Number:
        """Forward and backward.

        Pixels need no gradient, so this is too much by one forward pass of ``embedding`` (0.1 to 0.4 % in
        the paper's sizes); the usual count, three times the forward pass, keeps it.
        """
        return PASSES * self.forward

    @property
    def decoder_share(self) -> float:
        """Share of the decoder's blocks."""
        return self.decoder / self.forward

    @property
    def decoding_share(self) -> float:
        """Share of all that follows the encoder: projection, decoder's blocks and heads."""
        return (self.projection + self.decoder + self.heads) / self.forward


class TextTokens(NamedTuple):
    """How many tokens of a text are computed, on average over a batch: rows are filled up to the longest."""

    slots: Number
    visible: Number
    hidden: Number
    """In the decoder's last block."""
    words: Number
    """Hidden words, which the text head sees."""


def training_flops(a: Architecture, text: TextTokens | None = None, image: bool = True) -> Flops:
    """FLOPs of a sample as our training computes it (`m3ae.model.lean`): an image, a text or both.

    Without ``text``, a model that reads words gets a caption of all its slots: the most that one can cost.
    """
    if text is None:
        text = longest_text(a) if a.has_text else TextTokens(0, 0, 0, 0)
    patches = a.num_patches if image else 0
    seen = visible(patches, a.image_mask_ratio)
    encoded, decoded = 1 + seen + text.visible, 1 + patches + text.slots  # 1: CLS
    asking, width = patches - seen + text.hidden, a.decoder_width
    return Flops(
        embedding=linear_flops(seen, a.patch_values, a.width),
        encoder=a.depth * block_flops(encoded, a.width, a.mlp_ratio),
        projection=linear_flops(encoded, a.width, width),
        decoder=(a.decoder_depth - 1) * block_flops(decoded, width, a.mlp_ratio)
        + last_block_flops(decoded, asking, width, a.mlp_ratio),
        heads=linear_flops(patches - seen, width, a.patch_values)
        + linear_flops(text.words, width, a.vocab_size),
    )


def encoder_flops(a: Architecture) -> Number:
    """Forward pass of an image through an encoder alone, nothing hidden."""
    return linear_flops(a.num_patches, a.patch_values, a.width) + a.depth * block_flops(
        1 + a.num_patches, a.width, a.mlp_ratio
    )


def clip_flops(a: Architecture, text: TextArchitecture, words: Number, pairs: int) -> Number:
    """Forward and backward of a pair through both towers, and its similarities with ``pairs`` others."""
    towers = encoder_flops(a) + text.depth * block_flops(1 + words, text.width, a.mlp_ratio)
    projections = (a.width + text.width) * 2 * text.embedding_dim
    return PASSES * (towers + projections + 2 * linear_flops(1, text.embedding_dim, pairs))


def longest_text(a: Architecture) -> TextTokens:
    """A text that fills every slot."""
    seen = visible(a.max_tokens, a.text_mask_ratio)
    hidden = a.max_tokens - seen
    return TextTokens(a.max_tokens, seen, hidden, hidden)


def authors_flops(a: Architecture) -> Flops:
    """FLOPs of a sample as the authors' code computes it: every slot, every patch, heads on all of them."""
    words = a.max_tokens if a.has_text else 0
    encoded = 1 + visible(a.num_patches, a.image_mask_ratio) + visible(words, a.text_mask_ratio)  # 1: CLS
    decoded = 1 + a.num_patches + words
    return Flops(
        embedding=linear_flops(a.num_patches, a.patch_values, a.width),
        encoder=a.depth * block_flops(encoded, a.width, a.mlp_ratio),
        projection=linear_flops(encoded, a.width, a.decoder_width),
        decoder=a.decoder_depth * block_flops(decoded, a.decoder_width, a.mlp_ratio),
        heads=linear_flops(a.num_patches, a.decoder_width, a.patch_values)
        + linear_flops(words, a.decoder_width, a.vocab_size),
    )


def visible(tokens: int, ratio: float) -> int:
    """How many tokens stay visible: ``masking.num_visible``, which cannot be had without torch."""
    return int(tokens * (1.0 - ratio))


def linear_flops(tokens: Number, width_in: int, width_out: int) -> Number:
    """A linear layer on ``tokens`` vectors."""
    return 2 * tokens * width_in * width_out


def block_flops(tokens: Number, width: int, mlp_ratio: int) -> Number:
    """A transformer block: query, key, value and output, the MLP, and two products of attention."""
    return last_block_flops(tokens, tokens, width, mlp_ratio)


def last_block_flops(tokens: Number, asking: Number, width: int, mlp_ratio: int) -> Number:
    """A block of which ``asking`` tokens come out: keys and values of all, the rest of those alone."""
    keys_and_values = linear_flops(tokens, width, 2 * width)
    query_and_output, mlp = (
        2 * linear_flops(asking, width, width),
        2 * linear_flops(asking, width, mlp_ratio * width),
    )
    attention = (
        2 * 2 * asking * tokens * width
    )  # each with each, once for the weights and once for the values
    return keys_and_values + query_and_output + mlp + attention


def num_parameters(a: Architecture) -> int:
    """All parameters. Positions are fixed and count as none."""
    return (
        num_encoder_parameters(a)
        + num_text_parameters(a)
        + num_type_parameters(a)
        + num_decoder_parameters(a)
    )


def num_clip_parameters(a: Architecture, text: TextArchitecture) -> int:
    """Both towers, their projections, and the factor of the similarities; the text tower learns positions."""
    tower = (text.vocab_size + 1 + text.max_tokens) * text.width  # 1: CLS
    tower += num_transformer(text.width, text.depth, a.mlp_ratio)
    projections = sum(num_linear(width, text.embedding_dim) for width in (a.width, text.width))
    return num_parameters(a) + tower + projections + 1


def num_classifier_parameters(a: Architecture, num_classes: int) -> int:
    """An image tower and its head."""
    return num_parameters(a) + num_linear(a.width, num_classes)


def num_encoder_parameters(a: Architecture) -> int:
    """What a frozen encoder needs for images: patch embedding, CLS, blocks and last LayerNorm."""
    embedding = num_linear(a.patch_values, a.width)
    return embedding + a.width + num_transformer(a.width, a.depth, a.mlp_ratio)


def num_text_parameters(a: Architecture) -> int:
    """The word embedding."""
    return a.vocab_size * a.width


def num_type_parameters(a: Architecture) -> int:
    """A vector for each modality in the encoder, and in the decoder."""
    modalities = 1 + a.has_text
    return modalities * (a.width + a.decoder_width) if a.type_embedding else 0


def num_decoder_parameters(a: Architecture) -> int:
    """Projection, blocks, and for each modality a mask token and a head."""
    if not a.has_decoder:
        return 0
    outputs = [a.patch_values] + [a.vocab_size] * a.has_text
    return (
        num_linear(a.width, a.decoder_width)
        + num_transformer(a.decoder_width, a.decoder_depth, a.mlp_ratio)
        + sum(a.decoder_width + num_linear(a.decoder_width, values) for values in outputs)
    )


def num_linear(width_in: int, width_out: int) -> int:
    """Weights and biases of a linear layer."""
    return width_in * width_out + width_out


def num_transformer(width: int, depth: int, mlp_ratio: int) -> int:
    """Blocks (attention, MLP, two LayerNorms) and the last LayerNorm."""
    hidden, norm = mlp_ratio * width, 2 * width
    attention = num_linear(width, 3 * width) + num_linear(width, width)
    mlp = num_linear(width, hidden) + num_linear(hidden, width)
    return depth * (attention + mlp + 2 * norm) + norm
