"""Settings of the data: where pairs come from, how they are downloaded, cleaned and read."""

from typing import Annotated, Literal

from pydantic import Field

from m3ae.config.base import Count, Positive, Range, Rgb, Settings, Share


class TsvSource(Settings):
    """A list ``url<TAB>caption`` from the web, as CC12M is published."""

    kind: Literal["tsv"]
    url: str
    """Where the list is fetched from, once."""
    num_heldout: Count
    """Rows that are set aside for held-out errors, chosen by a hash of their URL (pairs)."""


class Flickr8kSource(Settings):
    """Flickr8k's photographs and captions from a local copy, served on 127.0.0.1."""

    kind: Literal["flickr8k"]
    heldout_split: Literal["dev", "test"]
    """Official split on which held-out errors are measured; pre-training reads `train` alone."""


class ToySource(Settings):
    """Scenes of real handwritten digits (scikit-learn's), made from the seed."""

    kind: Literal["toy"]
    num_train: Positive
    """Pre-training pairs (scenes)."""
    num_heldout: Positive
    """Held-out pairs (scenes)."""
    num_probe_train: Positive
    """Labelled scenes for the probe's training set."""
    num_probe_test: Positive
    """Labelled scenes of each test and out-of-distribution set."""
    scene_px: Positive
    """Side of a scene (pixels)."""
    heldout_digits: list[Annotated[int, Field(ge=0, le=9)]]
    """Digit classes that appear only in the out-of-distribution set."""
    bad_share: Share
    """Share of extra rows in the list that are dead, not images, truncated or duplicates."""


Source = Annotated[TsvSource | Flickr8kSource | ToySource, Field(discriminator="kind")]


class Download(Settings):
    """img2dataset's settings. How many processes and threads it uses is the machine's business."""

    timeout_s: Positive
    """Longest time for one response (seconds)."""
    retries: Count
    """Further attempts after a failure."""
    resize: Literal["no", "keep_ratio"]
    """`no` keeps the server's bytes; `keep_ratio` shrinks the short side to `clean.short_side_px`."""
    shard_samples: Positive
    """Rows of the list in one raw shard."""
    user_agent: str
    """Token of the user agent that img2dataset sends, and whose opt-out headers it respects."""
    min_yield: Share
    """Refuse to go on when a smaller share of the rows came through download and cleaning."""


class Clean(Settings):
    """What a sample must satisfy, and how clean shards are written."""

    min_side_px: Positive
    """Smallest short side (pixels)."""
    max_pixels: Positive
    """Largest width x height that is decoded at all: the bound against decompression bombs."""
    max_aspect: Annotated[float, Field(ge=1)]
    """Largest ratio of long to short side."""
    short_side_px: Positive
    """Larger images are shrunk to this short side (pixels)."""
    jpeg_quality: Annotated[int, Field(ge=50, le=100)]
    """Quality of re-encoded images; JPEGs that need no change keep their bytes."""
    min_caption_chars: Positive
    """Shortest caption (characters, after normalisation)."""
    max_caption_chars: Positive
    """Longest caption (characters); longer ones are rejected."""
    shard_samples: Positive
    """Samples in one clean shard."""


class Tokens(Settings):
    """Word pieces."""

    tokenizer: Literal["trained", "bert-base-uncased"]
    """`trained`: WordPiece learned from the training captions."""
    vocab_size: Positive
    """Upper bound on the vocabulary of a trained tokenizer; 30,522 for bert-base-uncased (pieces)."""
    max_tokens: Positive
    """Word slots per caption; longer captions are cut, shorter ones padded with id 0 (tokens)."""


class Image(Settings):
    """What the model sees of an image."""

    size_px: Positive
    """Side of the square input (pixels)."""
    mean: Rgb
    """Mean that is subtracted, per channel, of values in [0, 1]."""
    std: Rgb
    """Standard deviation that is divided by, per channel."""
    crop_scale: Range
    """RandomResizedCrop: smallest and largest share of the area."""
    flip: bool
    """Mirror every second image at random (wrong where captions say left and right)."""


class Data(Settings):
    """Everything between the web and the first layer."""

    source: Source
    download: Download
    clean: Clean
    tokens: Tokens
    image: Image
