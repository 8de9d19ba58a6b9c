"""Settings of the target `captions`: what a model knows of language, measured on held-out pairs."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from m3ae.config.base import Positive, Settings, Share
from m3ae.config.evaluation import Concepts

ASKED = "[MASK]"
"""Stands in a prompt for the word that is asked for."""

Forms = Annotated[dict[str, list[str]], Field(min_length=2)]
"""Each answer and the words, in lower case, that stand for it."""


class Counting(Settings):
    """How many things there are, asked with one prompt for every image."""

    prompt: str
    """A beginning of captions as they are written, with `[MASK]` once in place of the word asked for."""
    counted: Annotated[list[str], Field(min_length=1)]
    """Words, in lower case, each occurrence of which in an image's first caption is one thing."""
    answers: Annotated[list[str], Field(min_length=2)]
    """The word for one thing, for two, and so on; images with another count are not asked about."""

    @model_validator(mode="after")
    def asks_once(self) -> Self:
        """Check that the prompt asks for one word."""
        if self.prompt.split().count(ASKED) != 1:
            raise ValueError(f"prompt: expected {ASKED} once, as a word of its own, got {self.prompt!r}")
        return self


class Language(Settings):
    """The text side of a model, on held-out pairs. The paper promises it and measures nothing of it."""

    num_samples: Positive
    """Held-out pairs, drawn once for all models; all of them if there are fewer."""
    num_train: Positive
    """Training pairs on which the probes of concepts are trained."""
    concepts: Concepts | None
    """What the probes look for; null: the run's own `concepts`."""
    other_captions: bool
    """True: text is an image's first caption, and its others say which concepts it has (images with a single
    caption are left out). False: the first caption says it itself, which is trivial for text."""
    image_mask_ratio: Share | None
    """Share of the patches that is hidden beside questions about words; null: as in the model's pre-training,
    where the decoder never saw a whole image."""
    stop_words: list[str] | None
    """Words, in lower case, that carry no content; null: scikit-learn's English ones."""
    steps: Positive
    """Passes of masked decoding."""
    gallery: Positive
    """Pairs of the gallery for retrieval, each with its first caption; no caption stands there twice."""
    passes: Positive
    """Passes that hide every word of a caption once; as many as words: one word at a time."""
    questions: dict[str, Forms]
    """For each kind of question its answers. A caption with exactly one of their words asks for that word."""
    counting: Counting | None
    """The question of how many; null for captions that do not say it in a fixed form."""
