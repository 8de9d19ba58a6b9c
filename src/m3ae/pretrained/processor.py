"""From pictures and strings to the model's inputs, as evaluation sees them: no augmentation."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor

from m3ae.data.images import normalise, view
from m3ae.errors import UserError
from m3ae.files import write_text
from m3ae.pretrained.hub import OPTIONS, download, is_hub_id
from m3ae.pretrained.settings import check_count, check_view

if TYPE_CHECKING:
    from m3ae.pretrained.huggingface import M3AEConfig

SETTINGS, TOKENIZER = "processor_config.json", "tokenizer.json"


class M3AEProcessor:
    """Resize the short side, crop the centre, normalise; cut captions into word pieces and pad them."""

    def __init__(
        self,
        size_px: int = 256,
        resize_px: int | None = None,
        image_mean: list[float] | None = None,
        image_std: list[float] | None = None,
        max_tokens: int = 64,
        tokenizer: Tokenizer | Path | str | None = None,
    ) -> None:
        self.size_px, self.resize_px, self.max_tokens = size_px, resize_px or size_px, max_tokens
        for name, least in (("size_px", 1), ("resize_px", 1), ("max_tokens", 0)):
            check_count(name, getattr(self, name), least)
        if self.resize_px < size_px:
            raise UserError(f"resize_px: expected at least size_px = {size_px}, got {resize_px}")
        self.image_mean = list(image_mean or (0.5762, 0.5503, 0.5213))  # CC12M's
        self.image_std = list(image_std or (0.3207, 0.3169, 0.3307))
        check_view(self.image_mean, self.image_std)
        self.tokenizer = None if tokenizer is None else plain_tokenizer(tokenizer)

    @classmethod
    def for_model(
        cls, config: "M3AEConfig", tokenizer: Tokenizer | Path | str | None = None
    ) -> "M3AEProcessor":
        """The processor that fits a model: its image size, normalisation and word slots.

        An MAE reads no words, so it gets no tokenizer. Raises ValueError for a tokenizer whose ids the
        model does not know.
        """
        processor = cls(
            size_px=config.image_px,
            image_mean=config.image_mean,
            image_std=config.image_std,
            max_tokens=config.max_tokens,
            tokenizer=tokenizer if config.vocab_size else None,
        )
        words = processor.tokenizer
        if words is not None and words.get_vocab_size() > config.vocab_size:
            raise UserError(
                f"expected a tokenizer of at most {config.vocab_size} word pieces, as the model has, "
                f"got one of {words.get_vocab_size()}; give the one that the model was trained with"
            )
        return processor

    def __call__(
        self,
        images: Image.Image | list[Image.Image] | None = None,
        text: str | list[str] | None = None,
        return_tensors: str | None = None,
    ) -> dict[str, Tensor]:
        """The keyword arguments of the model: `image` (B, 3, S, S), `text` and `padding` (B, words).

        They are torch's tensors, with or without ``return_tensors="pt"``. Raises ValueError where there is
        nothing to process, a text and no tokenizer, or other tensors are asked for.
        """
        if return_tensors not in (None, "pt"):
            raise ValueError(
                f"return_tensors: expected 'pt', torch's tensors, or None, got {return_tensors!r}"
            )
        if images is None and text is None:
            raise ValueError("expected images, text or both; got neither")
        inputs = {} if images is None else {"image": self.image(images)}
        if text is not None:
            inputs |= self.words([text] if isinstance(text, str) else list(text))
        counts = {name: len(batch) for name, batch in inputs.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(f"expected one text for each image, got {counts['image']} and {counts['text']}")
        return inputs

    def image(self, images: Image.Image | list[Image.Image]) -> Tensor:
        """Pictures of any mode as one normalised batch."""
        pictures = [images] if isinstance(images, Image.Image) else list(images)
        if not pictures:
            raise ValueError("expected at least one image, got an empty list")
        for picture in pictures:
            if not isinstance(picture, Image.Image):
                raise ValueError(f"expected PIL images, got {type(picture).__name__}; use PIL.Image.open")
        views = np.stack([view(picture, self.resize_px, self.size_px) for picture in pictures])
        return torch.from_numpy(normalise(views, self.image_mean, self.image_std))

    def words(self, captions: list[str]) -> dict[str, Tensor]:
        """Word pieces without [CLS] and [SEP], as the authors' code makes them; id 0 is padding."""
        if self.tokenizer is None:
            raise UserError(
                "expected a tokenizer for text, this processor has none; give it one: M3AEProcessor.for_model"
                "(model.config, tokenizer='tokenizer.json') (the authors' models: that of bert-base-uncased)"
            )
        for caption in captions:
            if not isinstance(caption, str):
                raise ValueError(f"expected captions as strings, got {type(caption).__name__}")
        text = torch.zeros(len(captions), self.max_tokens, dtype=torch.long)
        padding = torch.ones(len(captions), self.max_tokens, dtype=torch.bool)
        encodings = self.tokenizer.encode_batch_fast(captions, add_special_tokens=False)
        for row, encoding in enumerate(encodings):
            ids = encoding.ids[: self.max_tokens]
            text[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
            padding[row, : len(ids)] = False
        return {"text": text, "padding": padding}

    def settings(self) -> dict[str, Any]:
        """Everything but the tokenizer."""
        names = ("size_px", "resize_px", "image_mean", "image_std", "max_tokens")
        return {name: getattr(self, name) for name in names}

    def save_pretrained(self, folder: Path | str) -> None:
        """Write processor_config.json, and tokenizer.json if there is a tokenizer."""
        facts = {"processor_class": type(self).__name__, **self.settings()}
        write_text(Path(folder) / SETTINGS, json.dumps(facts, indent=2, sort_keys=True) + "\n")
        if self.tokenizer is not None:
            write_text(Path(folder) / TOKENIZER, self.tokenizer.to_str(pretty=True) + "\n")

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: Path | str, **options: Any) -> "M3AEProcessor":
        """The processor of a folder of `save_pretrained` or of a hub id.

        ``options`` are those of a download (hub.OPTIONS); AutoProcessor gives others too. Raises UserError,
        one line, if there is none.
        """
        folder = Path(folder_or_hub_id)
        if not folder.exists() and is_hub_id(folder_or_hub_id):
            asked = {name: options[name] for name in OPTIONS if options.get(name) is not None}
            folder = download(str(folder_or_hub_id), [SETTINGS, TOKENIZER], **asked)
        path, words = folder / SETTINGS, folder / TOKENIZER
        try:
            settings = json.loads(path.read_bytes())
            del settings["processor_class"]
            return cls(**settings, tokenizer=words if words.is_file() else None)
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{path}: no such file; expected a folder made by m3ae weights convert") from None
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: expected the settings of a processor, got {error}") from None


def plain_tokenizer(tokenizer: Tokenizer | Path | str) -> Tokenizer:
    """A tokenizer of our own that neither pads nor cuts: files often carry somebody's settings for that.

    Takes a file, a `tokenizers.Tokenizer`, or the fast tokenizer of transformers around one.
    """
    if isinstance(tokenizer, str | Path):
        plain = load_tokenizer(tokenizer)
    else:
        plain = Tokenizer.from_str(getattr(tokenizer, "backend_tokenizer", tokenizer).to_str())
    plain.no_padding()
    plain.no_truncation()
    return plain


def load_tokenizer(path: Path | str) -> Tokenizer:
    """A tokenizer.json. Raises UserError, one line, if it is missing or broken."""
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise UserError(f"{path}: expected a tokenizer.json ({error})") from None
