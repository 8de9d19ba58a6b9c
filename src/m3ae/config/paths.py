"""Where the files of a run lie. The rules of the workflow name the same places."""

import os
from dataclasses import dataclass
from pathlib import Path

DATA_ROOT = "M3AE_DATA_ROOT"


def data_root() -> Path:
    """The folder of original data sets: ``$M3AE_DATA_ROOT``, or ``data/originals``."""
    return Path(os.environ.get(DATA_ROOT) or "data/originals")


@dataclass(frozen=True)
class Paths:
    """Paths of one run, relative to the project folder."""

    run: str

    @property
    def data(self) -> Path:
        """What the run brings or builds."""
        return Path("data") / self.run

    @property
    def source(self) -> Path:
        """Lists `train.tsv`, `heldout.tsv`, and what `tiny` makes itself."""
        return self.data / "source"

    def list(self, split: str) -> Path:
        """The list `url<TAB>caption` of a split (`train`, `heldout`)."""
        return self.source / f"{split}.tsv"

    def raw(self, split: str) -> Path:
        """Folder of raw shards, as img2dataset writes them."""
        return self.data / "raw" / split

    def download(self, split: str) -> Path:
        """Report of a finished download."""
        return self.data / "raw" / f"{split}.json"

    def shards(self, split: str) -> Path:
        """Clean shards with manifest and index: `train`, `heldout`, and `images` without captions."""
        return self.data / "shards" / split

    def manifest(self, split: str) -> Path:
        """Manifest of the clean shards."""
        return self.shards(split) / "manifest.json"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer, in the format of the `tokenizers` library."""
        return self.data / "tokens" / "tokenizer.json"

    def tokens(self, split: str) -> Path:
        """Word pieces of every caption of a split; of every passage for `texts`."""
        return self.data / "tokens" / f"{split}.arrow"

    def evalset(self, dataset: str) -> Path:
        """Checked listing (counts, checksums) of an evaluation set."""
        return self.data / "evalsets" / f"{dataset}.json"

    def results(self, model: str) -> Path:
        """Records and artifacts of a model."""
        return Path("results") / self.run / model

    def record(self, model: str, stage: str) -> Path:
        """The record of a stage, such as `pretrain` or `probe-digit`."""
        return self.results(model) / f"{stage}.json"

    def encoder(self, model: str) -> Path:
        """Frozen weights, encoder and decoder."""
        return self.results(model) / "encoder.safetensors"

    def step_log(self, model: str) -> Path:
        """One JSON line per logged step."""
        return self.results(model) / "steps.jsonl"

    def reference_log(self, model: str) -> Path:
        """The step log as published with the reports, for others to compare theirs with."""
        return self.reports / "logs" / f"{model}.jsonl"

    def features(self, model: str) -> Path:
        """Features of every evaluation split."""
        return self.results(model) / "features.safetensors"

    def layers(self, model: str) -> Path:
        """Features of the last blocks, both poolings, of a headline row."""
        return self.results(model) / "layers.safetensors"

    def pairs(self, model: str) -> Path:
        """Features of the run's own pairs: of images, of captions, of both together."""
        return self.results(model) / "pairs.safetensors"

    def classifier(self, model: str) -> Path:
        """Weights of the linear probes."""
        return self.results(model) / "probe.safetensors"

    def state(self, model: str) -> Path:
        """Training state: survives failures, is not a result."""
        return Path("runs") / self.run / model

    def pictures(self, model: str) -> Path:
        """Reconstructions, drawn while a model learns."""
        return Path("logs") / self.run / model / "pictures"

    @property
    def reports(self) -> Path:
        """Tables, figures and pages."""
        return Path("reports") / self.run
