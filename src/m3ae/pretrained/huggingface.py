"""M3AE as a Hugging Face model: a thin wrapper, in a file of its own since transformers imports slowly."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from m3ae.errors import UserError
from m3ae.files import write_text
from m3ae.model.architecture import Architecture
from m3ae.model.blocks import Transformer
from m3ae.model.m3ae import M3AE, Image, Padding, Text, fixed_positions
from m3ae.pretrained.card import README, card, is_ours
from m3ae.pretrained.facts import CardFacts
from m3ae.pretrained.processor import M3AEProcessor
from m3ae.pretrained.settings import check_settings, check_view, shown
from m3ae.pretrained.source import ALIASES, CC12M, SETTINGS
from m3ae.torchvision_ops import make_importable

make_importable()

from transformers import (  # noqa: E402
    AutoConfig,
    AutoModel,
    AutoModelForPreTraining,
    AutoProcessor,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers import initialization as init  # noqa: E402
from transformers.utils import ModelOutput  # noqa: E402


class M3AEConfig(PreTrainedConfig):
    """The settings of a model: those of `Architecture`, under the same names, and how images are normalised.

    ViT-B by default. The field's names (`hidden_size`, `num_hidden_layers`, `num_attention_heads`,
    `image_size`, `patch_size`) work too.
    """

    model_type = "m3ae"
    attribute_map: ClassVar[dict[str, str]] = ALIASES

    width: int = 768
    depth: int = 12
    num_heads: int = 12
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_num_heads: int = 16
    mlp_ratio: int = 4
    image_px: int = 256
    patch_px: int = 16
    vocab_size: int = 30522
    max_tokens: int = 64
    type_embedding: bool = True
    gelu: str = "tanh"
    image_mask_ratio: float = 0.75
    text_mask_ratio: float = 0.75
    mask_scope: str = "sample"
    norm_pix_loss: bool = False
    image_loss_weight: float = 1.0
    text_loss_weight: float = 0.5
    positions: str = "sincos"
    image_mean: list[float] | None = None
    """Mean of each channel; CC12M's if not given."""
    image_std: list[float] | None = None
    """Standard deviation of each channel; CC12M's if not given."""
    origin: dict[str, Any] | None = None
    """Where the weights came from."""

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill in lists and check what no single field can know."""
        self.image_mean = self.image_mean or list(CC12M["image_mean"])
        self.image_std = self.image_std or list(CC12M["image_std"])
        self.origin = self.origin or {}
        super().__post_init__(**kwargs)
        check_config(self)

    @property
    def architecture(self) -> Architecture:
        """The settings that the model itself knows."""
        return Architecture(**{name: getattr(self, name) for name in SETTINGS})

    @classmethod
    def of(cls, architecture: Architecture, **more: Any) -> "M3AEConfig":
        """The configuration of an architecture."""
        return cls(**architecture.plain(), **more)


def check_config(config: M3AEConfig) -> None:
    """Raise ValueError, one line, for a model that cannot be."""
    check_settings({name: getattr(config, name) for name in SETTINGS})
    check_view(config.image_mean, config.image_std)
    if not isinstance(config.origin, dict):
        raise UserError(f"origin: expected facts by name, got {shown(config.origin)}")


@dataclass
class M3AEOutput(ModelOutput):
    """What one pass gives: the fields of `m3ae.model.m3ae.Output`."""

    loss: torch.Tensor | None = None
    image_loss: torch.Tensor | None = None
    text_loss: torch.Tensor | None = None
    image_prediction: torch.Tensor | None = None
    text_logits: torch.Tensor | None = None
    image_hidden: torch.Tensor | None = None
    text_hidden: torch.Tensor | None = None


class M3AEForPreTraining(PreTrainedModel):
    """Encoder, decoder and losses; ``encode`` gives the representation."""

    config_class = M3AEConfig
    config: M3AEConfig
    base_model_prefix = "m3ae"
    main_input_name = "image"
    _no_split_modules = ["Block"]  # noqa: RUF012
    supports_gradient_checkpointing = True

    def __init__(self, config: M3AEConfig) -> None:
        super().__init__(config)
        self.m3ae = M3AE(config.architecture)
        self.post_init()

    @classmethod
    def from_core(cls, core: M3AE, **more: Any) -> "M3AEForPreTraining":
        """Wrap a model without copying its weights; ``more`` are further settings of the configuration."""
        with torch.device("meta"):
            model = cls(M3AEConfig.of(core.architecture, **more))
        model.m3ae = core
        return model.train(core.training)

    def encode(
        self, image: Image | None = None, text: Text | None = None, padding: Padding | None = None
    ) -> Float[Tensor, "batch tokens dim"]:
        """Everything visible, after the last LayerNorm: CLS, then patches, then words.

        ``image`` is (B, 3, S, S), normalised; ``text`` (B, words); ``padding`` True where there is padding.
        """
        return self.m3ae.encode(image, text, padding)

    def forward(
        self,
        image: Image | None = None,
        text: Text | None = None,
        padding: Padding | None = None,
        image_order: Tensor | None = None,
        text_order: Tensor | None = None,
        predictions: bool = True,
        image_mask_ratio: float | None = None,
        text_mask_ratio: float | None = None,
    ) -> M3AEOutput:
        """Hide, encode, decode, compare: see `M3AE.forward`. ValueError from an encoder alone."""
        out = self.m3ae(
            image, text, padding, image_order, text_order, predictions, image_mask_ratio, text_mask_ratio
        )
        return M3AEOutput(**out._asdict())

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """The authors' initialisation, of what a checkpoint did not bring; and the fixed positions."""
        if isinstance(module, M3AE):
            for parameter in module.parameters(recurse=False):
                init.normal_(parameter, std=0.02)
            for name, positions in fixed_positions(module.architecture).items():
                # Replaced, not filled: a model loaded in bf16 has them in fp32 at this point.
                module.register_buffer(name, positions.to(module.cls_token), persistent=False)
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, std=1.0)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)

    def _set_gradient_checkpointing(
        self, enable: bool = True, gradient_checkpointing_func: Any = None, every_n_layers: int = 1
    ) -> None:
        """What `gradient_checkpointing_enable` and its like call: every block is recomputed, by our own pass.

        Raises ValueError where only some blocks, or their inputs on the host, are asked for.
        """
        offload = getattr(gradient_checkpointing_func, "func", checkpoint) is not checkpoint
        if enable and (every_n_layers != 1 or offload):
            raise ValueError(
                "expected every_n_layers=1 and offload=False, of which this model knows no other"
            )
        for module in self.modules():
            if isinstance(module, Transformer):
                module.recompute = enable

    @property
    def is_activation_checkpointing(self) -> bool:
        """Whether blocks are recomputed on the way back."""
        return any(module.recompute for module in self.modules() if isinstance(module, Transformer))

    def save_pretrained(
        self, save_directory: str | os.PathLike, *args: Any, facts: CardFacts | None = None, **kwargs: Any
    ) -> None:
        """Write safetensors, config.json and the model card README.md (``facts``: what its run recorded).

        A README.md that this method did not write stays as it is.
        """
        super().save_pretrained(save_directory, *args, **kwargs)
        readme = Path(save_directory) / README
        if kwargs.get("is_main_process", True) and (not readme.exists() or is_ours(readme)):
            parameters = sum(parameter.numel() for parameter in self.parameters())
            write_text(readme, card(self.config.to_dict(), parameters, facts))


AutoConfig.register("m3ae", M3AEConfig)
AutoModel.register(M3AEConfig, M3AEForPreTraining)
AutoModelForPreTraining.register(M3AEConfig, M3AEForPreTraining)
AutoProcessor.register(M3AEConfig, M3AEProcessor)
