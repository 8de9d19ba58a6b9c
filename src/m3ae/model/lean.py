"""The training pass: the losses of ``M3AE.forward``, and nothing that they throw away.

Visible patches alone are embedded; padding is left out; the decoder's last block and the heads compute hidden
tokens alone; logits exist for some words at a time. Each is exact (tests/test_lean.py, docs/performance.md).
Nothing here waits for the device: what depends on padding is planned on the host (`Words`).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from m3ae.model.losses import hidden_word_loss, normalise_patches, patch_error
from m3ae.model.m3ae import M3AE, Image, Padding, Text
from m3ae.model.masking import num_visible, order_of_each, shuffle, take
from m3ae.model.outputs import Losses, Output
from m3ae.model.words import Words, plan_words

Patches = Float[Tensor, "batch patches values"]


class Seen(NamedTuple):
    """What a model sees of a batch, and what it must rebuild."""

    patches: Patches | None
    visible: Int[Tensor, "batch visible_patches"] | None
    """Visible patches, by their place in the image."""
    hidden: Int[Tensor, "batch hidden_patches"] | None
    words: Words | None


def lean_losses(model: M3AE, seen: Seen, samples: int | None = None) -> Losses:
    """The losses of a batch that is a part of a step with ``samples`` rows (default: the whole of it)."""
    a = model.architecture
    decoded = decode_hidden(model, encode_visible(model, seen), seen)
    rows, patches = len(decoded), 0 if seen.hidden is None else seen.hidden.shape[1]
    loss = decoded.new_zeros((), dtype=torch.float32)
    image_loss = text_loss = image_errors = text_errors = None
    if seen.patches is not None:
        errors = patch_errors(model, decoded[:, :patches], seen)
        image_loss, image_errors = errors.sum() / (samples or rows), errors.detach()
        loss = loss + a.image_loss_weight * image_loss
    if seen.words is not None:
        total, text_errors = word_errors(model, decoded[:, patches:], seen.words)
        text_loss = total / (samples or rows)
        loss = loss + a.text_loss_weight * text_loss
    return Losses(loss, image_loss, text_loss, image_errors, text_errors)


def losses_of(
    model: M3AE,
    image: Image | None,
    text: Text | None,
    padding: Padding | None,
    orders: tuple[Tensor | None, Tensor | None],
    ratios: tuple[float, float],
) -> Output:
    """``M3AE.forward`` without predictions: draw what is hidden, plan the words, take the losses."""
    one = model.architecture.mask_scope == "batch"
    image_shuffle = text_shuffle = words = None
    if image is not None:
        patch_px = model.architecture.patch_px
        corners = model.checked(image)[:, 0, ::patch_px, ::patch_px].flatten(1)  # one value of each patch
        image_shuffle = shuffle(orders[0], corners, ratios[0], one)
    if text is not None:
        model.check_text(text)
        text_shuffle = shuffle(orders[1], text, ratios[1], one)
        words = plan_words(text, padding, text_shuffle.order, ratios[1])
    order = None if image_shuffle is None else image_shuffle.order
    losses = model.losses(image, order, words, image_mask_ratio=ratios[0])
    return Output(
        losses.loss,
        losses.image_loss,
        losses.text_loss,
        image_prediction=None,
        text_logits=None,
        image_hidden=image_shuffle.is_hidden if image_shuffle else None,
        text_hidden=text_shuffle.is_hidden if text_shuffle else None,
    )


def see(
    patches: Patches | None, order: Int[Tensor, "*batch patches"] | None, ratio: float, words: Words | None
) -> Seen:
    """Cut an order of the patches (one for each image, or for all) into visible and hidden ones."""
    if patches is None:
        return Seen(None, None, None, words)
    if order is None:
        raise ValueError("expected an order of the patches beside the images; got none")
    batch, count, _ = patches.shape
    order = order_of_each(order, batch, count)
    kept = num_visible(count, ratio)
    return Seen(patches, order[:, :kept], order[:, kept:], words)


def encode_visible(model: M3AE, seen: Seen) -> Float[Tensor, "batch visible dim"]:
    """CLS, visible patches and visible words through the encoder."""
    parts, padding = [], None
    if seen.patches is not None and seen.visible is not None:
        x = model.patch_embedding(take(seen.patches, seen.visible))
        table = model.image_positions_for(seen.patches.shape[1], "image_positions")
        parts.append(with_type(model, x + table[seen.visible], "image_type"))
    if seen.words is not None:
        x = model.word_embedding(seen.words.text.take_along_dim(seen.words.visible, dim=1))
        x = x + model.get_buffer("text_positions")[seen.words.visible]
        parts.append(with_type(model, x, "text_type"))
        padding = seen.words.visible_padding
    x = model.with_cls(parts)
    return model.encoder(x, model.key_padding(x, padding))


def decode_hidden(
    model: M3AE, encoded: Float[Tensor, "batch visible dim"], seen: Seen
) -> Float[Tensor, "batch hidden decoder_dim"]:
    """The decoder's output for hidden patches, then for hidden words."""
    table, mask_tokens, count = decoder_table(model, seen)
    slots = 0 if seen.words is None else seen.words.text.shape[1]
    first = 1 + count  # place of the first word: CLS, patches, words, and one place for what fills rows up
    places = [torch.zeros_like(encoded[:, :1, 0], dtype=torch.long)]
    at = []
    if seen.visible is not None and seen.hidden is not None:
        places.append(1 + seen.visible)
        at.append(1 + seen.hidden)
    if seen.words is not None:
        places.append((first + seen.words.visible).masked_fill(seen.words.visible_padding, first + slots))
        at.append(first + seen.words.hidden)
    place = torch.cat(places, dim=1)
    visible = model.decoder_embedding(encoded) + table[place]
    everywhere = (table + mask_tokens).to(visible.dtype).expand(len(encoded), -1, -1)
    x = everywhere.scatter(1, place[:, :, None].expand_as(visible), visible)[:, : first + slots]
    padding = None if seen.words is None else model.key_padding(x, seen.words.padding)
    return model.decoder(x, padding, torch.cat(at, dim=1))


def decoder_table(model: M3AE, seen: Seen) -> tuple[Tensor, Tensor, int]:
    """Position and type of every place of the decoder's input, its mask token, and the number of patches."""
    width = model.architecture.decoder_width
    nothing = model.image_mask_token.new_zeros(1, width)
    tables, masks, count = [nothing], [nothing], 0
    if seen.patches is not None:
        count = seen.patches.shape[1]
        positions = model.image_positions_for(count, "decoder_image_positions")
        tables.append(with_type(model, positions, "decoder_image_type"))
        masks.append(model.image_mask_token.expand(count, -1))
    if seen.words is not None:
        slots = seen.words.text.shape[1]
        positions = model.get_buffer("decoder_text_positions")[:slots]
        tables += [with_type(model, positions, "decoder_text_type"), nothing]
        masks += [model.text_mask_token.expand(slots, -1), nothing]
    return torch.cat(tables), torch.cat(masks), count


def with_type(model: M3AE, x: Tensor, name: str) -> Tensor:
    """``x`` with its modality's embedding, where the model has any."""
    return x + getattr(model, name) if model.architecture.type_embedding else x


def patch_errors(
    model: M3AE, decoded: Float[Tensor, "batch hidden decoder_dim"], seen: Seen
) -> Float[Tensor, " batch"]:
    """Error of each image over its hidden patches."""
    assert seen.patches is not None
    assert seen.hidden is not None
    target = take(seen.patches, seen.hidden)
    if model.architecture.norm_pix_loss:
        target = normalise_patches(target)
    return patch_error(model.image_head(decoded), target)


def word_errors(
    model: M3AE, decoded: Float[Tensor, "batch hidden decoder_dim"], words: Words
) -> tuple[Float[Tensor, ""], Float[Tensor, " batch"]]:
    """The sum over texts of the loss of each; and each text's, without gradient."""
    rows = words.hidden_rows
    right = words.text.take_along_dim(words.hidden, dim=1).flatten()[rows]
    total, entropy = hidden_word_loss(decoded.flatten(0, 1)[rows], model.text_head, right, words.share)
    of_text = entropy.new_zeros(len(words.text))
    return total, of_text.index_add(0, rows // words.hidden.shape[1], entropy * words.share)
