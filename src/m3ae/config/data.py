"""Settings of the data: where pairs come from, how they are downloaded, cleaned and read."""

from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from m3ae.config.base import Count, Positive, Range, Rgb, Settings, Share


def as_network(text: str) -> str:
    """The text, if it names a network. Raises ValueError."""
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise ValueError(f"expected networks such as 10.1.0.0/16, got {text!r} ({error})") from None


class TsvSource(Settings):
    """A list ``url<TAB>caption``, as CC12M is published; the images come from the web."""

    kind: Literal["tsv"]
    train: str
    """The list: its address, fetched once, or a file (below the data root unless absolute)."""
    heldout: Count | str
    """Another list for held-out errors, or the number of URLs that a hash sets aside from `train`."""


class WebdatasetSource(Settings):
    """A ready crawl as WebDataset tars, such as `pixparse/cc12m-wds`."""

    kind: Literal["webdataset"]
    train: str
    """Folder or pattern of tars: below the data root, absolute, or behind fsspec (hf://, s3://, gs://)."""
    heldout: Count | str
    """Other tars, or the number of samples that a hash sets aside from `train`."""


class FolderSource(Settings):
    """A folder of images with a table of captions (CSV, TSV, JSON lines); several rows may share an image."""

    kind: Literal["folder"]
    images: str
    """Folder of the images (below the data root unless absolute)."""
    train: str
    """Table with the image's name below `images`, and its caption; the header names the columns."""
    heldout: Count | str
    """Another table, or the number of images that a hash sets aside from `train`."""


class Hdf5Source(Settings):
    """The authors' HDF5 layout: encoded images in `jpg`, captions in `caption`."""

    kind: Literal["hdf5"]
    train: str
    """The file (below the data root unless absolute)."""
    heldout: Count | str
    """Another file, or the number of rows that a hash sets aside, each with the other rows of its image."""


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
    jpeg_quality: Annotated[int, Field(ge=50, le=100)]
    """Of every set alike: compression leaks into out-of-distribution scores."""
    heldout_digits: list[Annotated[int, Field(ge=0, le=9)]]
    """Digit classes that appear only in the out-of-distribution set."""
    bad_share: Share
    """Share of extra rows in the list that are dead, not images, truncated or duplicates."""


Source = Annotated[
    TsvSource | WebdatasetSource | FolderSource | Hdf5Source | Flickr8kSource | ToySource,
    Field(discriminator="kind"),
]


class ImageFolder(Settings):
    """Images without captions: every image below a folder."""

    kind: Literal["folder"]
    images: str
    """Folder of the images (below the data root unless absolute)."""


class ImageWebdataset(Settings):
    """Images without captions: the images of WebDataset tars, whatever else is in them."""

    kind: Literal["webdataset"]
    train: str
    """Folder or pattern of tars, as for pairs."""


class ImageHdf5(Settings):
    """Images without captions: `jpg` of the authors' HDF5 layout."""

    kind: Literal["hdf5"]
    train: str
    """The file (below the data root unless absolute)."""


Images = Annotated[ImageFolder | ImageWebdataset | ImageHdf5, Field(discriminator="kind")]


class Texts(Settings):
    """Text without images, split into passages."""

    files: str
    """Plain text (pattern of files), or HDF5 with `text`; below the data root unless absolute."""
    max_tokens: Positive
    """Word slots of a passage (tokens); the authors' code uses 256."""


class Download(Settings):
    """How images come from the web. How many processes and threads it takes is the machine's business."""

    timeout_s: Positive
    """Longest wait for a connection, and for the next bytes of a response (seconds)."""
    total_timeout_s: Positive
    """Longest time for one image, from the connection to the last byte, redirects included (seconds)."""
    max_bytes: Positive
    """Longest response; a longer one is given up (bytes)."""
    passes: Positive
    """Passes over the list; all but the first ask again only for what failed for a reason that may pass."""
    per_host: Positive
    """Connections to one host at a time (per machine)."""
    resize: Literal["no", "keep_ratio"]
    """`no` keeps the server's bytes; `keep_ratio` shrinks the short side to `clean.short_side_px`."""
    shard_samples: Positive
    """Rows of the list in one raw shard."""
    user_agent: str
    """Token of the user agent that is sent, and whose opt-out headers are respected."""
    opt_out: list[str]
    """Directives of an X-Robots-Tag header that forbid the use of an image; [] respects none."""
    allow_networks: list[Annotated[str, AfterValidator(as_network)]]
    """Private networks (CIDR) that a list may name; [] keeps it out of the lab's network."""
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
    images: Images | None
    """Images without captions, mixed in by `pretrain.mixture`."""
    texts: Texts | None
    """Text without images, mixed in by `pretrain.mixture`."""
    download: Download
    clean: Clean
    tokens: Tokens
    image: Image
