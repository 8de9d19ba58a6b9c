"""M3AE: one transformer reads patches and words as one sequence; a small decoder rebuilds what was hidden.

Geng et al. 2022, Sec. 3, after the authors' model.py. MAE is the same class without text.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from m3ae.model.architecture import Architecture
from m3ae.model.blocks import Transformer, init_linear, init_normal
from m3ae.model.inputs import check_inputs, check_order
from m3ae.model.linear import Linear
from m3ae.model.losses import normalise_patches, patch_error, word_loss
from m3ae.model.masking import Shuffle, shuffle, take, unshuffle
from m3ae.model.outputs import Decoded, Encoded, Losses, Output
from m3ae.model.patches import to_patches
from m3ae.model.positions import patch_positions, word_positions
from m3ae.model.words import Words

Image = Float[Tensor, "batch 3 height width"]
Text = Int[Tensor, "batch words"]
Padding = Bool[Tensor, "batch words"]


class M3AE(nn.Module):
    """The multimodal masked autoencoder."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = a = architecture
        # The order of creation is the order of the first random numbers, and of the optimiser.
        self.patch_embedding = Linear(a.patch_values, a.width)
        self.cls_token = nn.Parameter(torch.empty(a.width))
        self.encoder = Transformer(a.width, a.depth, a.num_heads, a.mlp_ratio, a.gelu)
        if a.has_decoder:
            self.decoder_embedding = Linear(a.width, a.decoder_width)
            self.decoder = Transformer(
                a.decoder_width, a.decoder_depth, a.decoder_num_heads, a.mlp_ratio, a.gelu
            )
            self.image_mask_token = nn.Parameter(torch.empty(a.decoder_width))
            self.image_head = Linear(a.decoder_width, a.patch_values)
        if a.has_text:
            self.word_embedding = nn.Embedding(a.vocab_size, a.width, _weight=without_memory(a))
        if a.has_text and a.has_decoder:
            self.text_mask_token = nn.Parameter(torch.empty(a.decoder_width))
            self.text_head = nn.Linear(a.decoder_width, a.vocab_size)
        if a.type_embedding:
            for modality in ("image", "text") if a.has_text else ("image",):
                self.add_type(modality)
        if a.positions == "learned":  # filled from a file: nothing trains it here
            self.register_buffer("image_positions", torch.zeros(a.num_patches, a.width))
        self.add_positions()
        self.init_weights()

    def add_type(self, modality: str) -> None:
        """What tells a modality's tokens from the other's, in the encoder and in the decoder."""
        a = self.architecture
        self.register_parameter(f"{modality}_type", nn.Parameter(torch.empty(a.width)))
        if a.has_decoder:
            self.register_parameter(f"decoder_{modality}_type", nn.Parameter(torch.empty(a.decoder_width)))

    def add_positions(self) -> None:
        """Fixed positions: not parameters, not in checkpoints."""
        device = torch.get_default_device()
        with torch.device("cpu"):  # on "meta" an arange imports torch's compiler: 2 seconds
            fixed = fixed_positions(self.architecture)
        for name, positions in fixed.items():
            self.register_buffer(name, positions.to(device), persistent=False)

    def init_weights(self) -> None:
        """The authors' initialisation; positions, LayerNorms and their like are constant.

        Without memory there is nothing to initialise (and torch would import its compiler for it: 2 seconds).
        """
        if self.cls_token.is_meta:
            return
        self.apply(init_linear)
        init_normal(*(p for name, p in self.named_parameters(recurse=False)))
        if self.architecture.has_text:
            nn.init.normal_(self.word_embedding.weight, std=1.0)

    # ---- encoder -------------------------------------------------------------------------------------------

    def embed_image(self, image: Image) -> Float[Tensor, "batch patches dim"]:
        """Patches, their positions and their type. Any square image will do, save with learned positions."""
        a = self.architecture
        x = self.patch_embedding(to_patches(self.checked(image), a.patch_px))
        x = x + self.image_positions_for(x.shape[1], "image_positions")
        return x + self.image_type if a.type_embedding else x

    def checked(self, image: Image) -> Image:
        """``image``, if it can be cut into patches; else ValueError."""
        a = self.architecture
        height, width = image.shape[2:]
        if height != width or height % a.patch_px or image.shape[1] != 3:
            raise ValueError(
                f"expected square images of shape (B, 3, S, S), S a multiple of {a.patch_px} px "
                f"(trained at {a.image_px}), got {tuple(image.shape)}"
            )
        return image

    def image_positions_for(self, count: int, name: str) -> Float[Tensor, "patches dim"]:
        """The positions ``name`` of an image of ``count`` patches: a formula, so every size has them.

        A learned table has one size: ValueError at another.
        """
        stored = self.get_buffer(name)
        if count == len(stored):
            return stored
        a = self.architecture
        if a.positions == "learned" and name == "image_positions":
            raise ValueError(
                f"expected images of {a.image_px} px ({len(stored)} patches), as this model's positions are "
                f"a learned table; got {count} patches"
            )
        return patch_positions(stored.shape[1], count).to(stored)

    def embed_text(self, text: Text) -> Float[Tensor, "batch words dim"]:
        """Words, their positions and their type."""
        a = self.architecture
        self.check_text(text)
        x = self.word_embedding(text) + self.get_buffer("text_positions")[: text.shape[1]]
        return x + self.text_type if a.type_embedding else x

    def check_text(self, text: Text) -> None:
        """Raise ValueError if this model cannot read ``text``."""
        a = self.architecture
        if not a.has_text:
            raise ValueError("expected no text: this model is an MAE, it reads images alone")
        if text.shape[1] > a.max_tokens:
            raise ValueError(f"expected at most {a.max_tokens} word slots, got {text.shape[1]}")

    def encode(
        self, image: Image | None = None, text: Text | None = None, padding: Padding | None = None
    ) -> Float[Tensor, "batch tokens dim"]:
        """The representation: everything visible, after the last LayerNorm; CLS, then patches, then words."""
        check_inputs(image, text, padding)
        parts = [self.embed_image(image)] if image is not None else []
        parts += [self.embed_text(text)] if text is not None else []
        x = self.with_cls(parts)
        return self.encoder(x, self.key_padding(x, padding))

    def with_cls(self, parts: list[Tensor]) -> Float[Tensor, "batch tokens dim"]:
        """CLS (no position, no type) in front of the tokens of one or two modalities."""
        batch = parts[0].shape[0]  # not len, which a trace takes for a constant
        cls = self.cls_token.to(parts[0].dtype).expand(batch, 1, -1)
        return torch.cat([cls, *parts], dim=1)

    @staticmethod
    def key_padding(x: Tensor, padding: Tensor | None) -> Bool[Tensor, "batch tokens"] | None:
        """Padding of the words, which end the sequence ``x``; nothing else is padding."""
        if padding is None:
            return None
        return nn.functional.pad(padding, (x.shape[1] - padding.shape[1], 0), value=False)

    def encode_visible(
        self,
        image: Image | None,
        text: Text | None,
        padding: Padding | None,
        orders: tuple[Tensor | None, Tensor | None],
        ratios: tuple[float, float],
    ) -> Encoded:
        """Hide most of both modalities and encode the rest. Slots are drawn without regard to padding."""
        one = self.architecture.mask_scope == "batch"
        parts: list[Tensor] = []
        image_shuffle = text_shuffle = None
        visible_padding = None
        if image is not None:
            x = self.embed_image(image)
            image_shuffle = shuffle(orders[0], x, ratios[0], one)
            parts.append(take(x, image_shuffle.visible_positions))
        if text is not None:
            x = self.embed_text(text)
            text_shuffle = shuffle(orders[1], x, ratios[1], one)
            parts.append(take(x, text_shuffle.visible_positions))
            if padding is not None:
                visible_padding = padding.take_along_dim(text_shuffle.visible_positions, dim=1)
        x = self.with_cls(parts)
        x = self.encoder(x, self.key_padding(x, visible_padding))
        cls, *tokens = x.split([1, *(part.shape[1] for part in parts)], dim=1)
        image_tokens = tokens.pop(0) if image is not None else None
        return Encoded(cls, image_tokens, tokens[0] if tokens else None, image_shuffle, text_shuffle)

    # ---- decoder -------------------------------------------------------------------------------------------

    def decode(self, encoded: Encoded, padding: Padding | None) -> Decoded:
        """Put mask tokens where something was hidden, and decode the whole sequence."""
        parts = [self.decoder_embedding(encoded.cls)]
        if encoded.image is not None:
            parts.append(self.decoder_input("image", encoded.image, encoded.image_shuffle))
        if encoded.text is not None:
            parts.append(self.decoder_input("text", encoded.text, encoded.text_shuffle))
        x = torch.cat(parts, dim=1)
        x = self.decoder(x, self.key_padding(x, padding if encoded.text is not None else None))
        _, *tokens = x.split([part.shape[1] for part in parts], dim=1)
        image = tokens.pop(0) if encoded.image is not None else None
        return Decoded(image, tokens[0] if tokens else None)

    def decoder_input(
        self, modality: str, visible: Tensor, shuffled: Shuffle | None
    ) -> Float[Tensor, "batch tokens dim"]:
        """Visible tokens and mask tokens of a modality in their places, with positions and type."""
        assert shuffled is not None
        # Not get_parameter: within torch.func.functional_call parameters may be any tensors.
        mask_token: Tensor = getattr(self, f"{modality}_mask_token")
        x = unshuffle(self.decoder_embedding(visible), mask_token, shuffled)
        if modality == "image":
            x = x + self.image_positions_for(x.shape[1], "decoder_image_positions")
        else:
            x = x + self.get_buffer("decoder_text_positions")[: x.shape[1]]
        return x + getattr(self, f"decoder_{modality}_type") if self.architecture.type_embedding else x

    # ---- losses --------------------------------------------------------------------------------------------

    def image_errors(self, image: Image, decoded: Decoded, shuffled: Shuffle) -> Float[Tensor, " batch"]:
        """Error of each sample over its hidden patches; the head sees no other."""
        assert decoded.image is not None
        target = to_patches(image, self.architecture.patch_px)
        if self.architecture.norm_pix_loss:
            target = normalise_patches(target)
        predicted = self.image_head(take(decoded.image, shuffled.hidden_positions))
        return patch_error(predicted, take(target, shuffled.hidden_positions))

    def text_losses(
        self, text: Text, padding: Padding | None, decoded: Decoded, shuffled: Shuffle
    ) -> Float[Tensor, " batch"]:
        """Cross-entropy of each sample over its hidden words; the head sees no other."""
        assert decoded.text is not None
        hidden = shuffled.hidden_positions
        logits = self.text_head(take(decoded.text, hidden))
        counts = torch.ones_like(hidden, dtype=torch.bool)
        if padding is not None:
            counts = ~padding.take_along_dim(hidden, dim=1)
        return word_loss(logits, text.take_along_dim(hidden, dim=1), counts)

    def losses(
        self,
        image: Image | None,
        image_order: Int[Tensor, "*batch patches"] | None,
        words: Words | None,
        samples: int | None = None,
        image_mask_ratio: float | None = None,
    ) -> Losses:
        """The losses of ``forward`` for training, with nothing computed that they throw away (lean.py).

        ``words`` are planned beforehand, so that nothing waits for the device. ``samples`` divides the sums
        over rows, where this batch is a part of a step (default: its own number).
        """
        from m3ae.model.lean import lean_losses, see  # it imports this file

        a = self.architecture
        self.check_decoder()
        if words is not None:
            self.check_text(words.text)
        patches = None if image is None else to_patches(self.checked(image), a.patch_px)
        ratio = a.image_mask_ratio if image_mask_ratio is None else image_mask_ratio
        return lean_losses(self, see(patches, image_order, ratio, words), samples)

    def check_decoder(self) -> None:
        """Raise ValueError if this is an encoder alone."""
        if not self.architecture.has_decoder:
            raise ValueError(
                "expected a model with its decoder; this one has an encoder alone, which gives "
                "representations (encode) and no loss: load the full checkpoint"
            )

    def forward(
        self,
        image: Image | None = None,
        text: Text | None = None,
        padding: Padding | None = None,
        image_order: Int[Tensor, "*batch patches"] | None = None,
        text_order: Int[Tensor, "*batch words"] | None = None,
        predictions: bool = True,
        image_mask_ratio: float | None = None,
        text_mask_ratio: float | None = None,
    ) -> Output:
        """Hide, encode, decode, and compare with what was hidden.

        ``image`` is normalised; ``padding`` is True where a word slot is empty. The orders replace the
        random draw: the first ``int(n * (1 - ratio))`` tokens of an order stay visible. With
        ``predictions=False`` only what the losses need is computed (`losses`). ValueError, one line, for
        inputs that are none, a ratio outside [0, 1], or an order that is no permutation.
        """
        a = self.architecture
        ratios = (
            a.image_mask_ratio if image_mask_ratio is None else image_mask_ratio,
            a.text_mask_ratio if text_mask_ratio is None else text_mask_ratio,
        )
        check_inputs(image, text, padding)
        check_order("image_order", image_order)
        check_order("text_order", text_order)
        self.check_decoder()
        if not predictions:
            from m3ae.model.lean import losses_of  # it imports this file

            return losses_of(self, image, text, padding, (image_order, text_order), ratios)
        encoded = self.encode_visible(image, text, padding, (image_order, text_order), ratios)
        decoded = self.decode(encoded, padding)
        image_loss = text_loss = None
        loss = encoded.cls.new_zeros((), dtype=torch.float32)
        if image is not None:
            assert encoded.image_shuffle is not None
            image_loss = self.image_errors(image, decoded, encoded.image_shuffle).mean()
            loss = loss + a.image_loss_weight * image_loss
        if text is not None:
            assert encoded.text_shuffle is not None
            text_loss = self.text_losses(text, padding, decoded, encoded.text_shuffle).mean()
            loss = loss + a.text_loss_weight * text_loss
        return Output(
            loss,
            image_loss,
            text_loss,
            self.image_head(decoded.image) if decoded.image is not None else None,
            self.text_head(decoded.text) if decoded.text is not None else None,
            encoded.image_shuffle.is_hidden if encoded.image_shuffle else None,
            encoded.text_shuffle.is_hidden if encoded.text_shuffle else None,
        )


def without_memory(a: Architecture) -> Float[Tensor, "words dim"] | None:
    """Weights for an embedding on "meta", where drawing them imports torch's compiler; elsewhere None."""
    return torch.empty(a.vocab_size, a.width) if torch.get_default_device().type == "meta" else None


def fixed_positions(a: Architecture) -> dict[str, Float[Tensor, "tokens dim"]]:
    """The positions of patches and words, for the encoder and for the decoder; a learned table is none."""
    positions = {}
    for prefix, width in (("", a.width), ("decoder_", a.decoder_width)):
        positions[f"{prefix}image_positions"] = patch_positions(width, a.num_patches)
        positions[f"{prefix}text_positions"] = word_positions(width, a.max_tokens)
    if a.positions == "learned":
        del positions["image_positions"]
    return positions
