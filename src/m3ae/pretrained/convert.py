"""From any weights that we read to ours: a Hugging Face folder, or the workflow's single file."""

import shutil
from pathlib import Path
from typing import Any

from m3ae.config.paths import Paths
from m3ae.errors import UserError
from m3ae.files import check_replaceable, new_folder, sha256_of
from m3ae.model.weights import save_encoder
from m3ae.pretrained.load import read_source
from m3ae.pretrained.source import Source

OURS = ("config.json", "model.safetensors", "README.md", "processor_config.json", "tokenizer.json")
NOT_WEIGHTS = (".pkl", ".pth", ".pt", ".bin", ".npz", ".h5")


def read_with_hash(src: str, overrides: dict[str, Any]) -> Source:
    """The weights at ``src``; their origin carries the SHA-256 of the file that they came from."""
    source = read_source(src, overrides)
    if Path(src).is_file() and "sha256" not in source.origin:
        source.origin["sha256"] = sha256_of(src)
    return source


def convert(src: str, dst: Path, overrides: dict[str, Any], tokenizer: Path | None = None) -> None:
    """Write the weights at ``src`` to ``dst``: a `.safetensors` file, or else a folder of `save_pretrained`.

    A folder also holds the processor and the model card; ``tokenizer`` (tokenizer.json) goes into it.
    """
    if dst.suffix in NOT_WEIGHTS:
        raise UserError(f"{dst}: expected a folder or a .safetensors file to write, got {dst.suffix}")
    source = read_with_hash(src, overrides)
    core = source.core(src)
    if dst.suffix == ".safetensors":
        save_encoder(core, dst, source.origin | source.view)  # a single file has no other place for the view
        return
    from m3ae.pretrained.card import README, is_ours
    from m3ae.pretrained.facts import facts_from_records
    from m3ae.pretrained.huggingface import M3AEForPreTraining
    from m3ae.pretrained.processor import M3AEProcessor

    model = M3AEForPreTraining.from_core(core, origin=source.origin, **source.view)
    words = tokenizer or tokenizer_beside(Path(src))
    check_replaceable(dst, OURS)
    with new_folder(dst) as folder:
        if (dst / README).is_file() and not is_ours(dst / README):
            shutil.copy(dst / README, folder)  # somebody made the card theirs: it stays
        model.save_pretrained(folder, facts=facts_from_records(Path(src)))
        M3AEProcessor.for_model(model.config, tokenizer=words).save_pretrained(folder)


def tokenizer_beside(src: Path) -> Path | None:
    """The tokenizer in the folder ``src``, or of the run whose encoder.safetensors ``src`` is."""
    run = Paths(src.absolute().parents[1].name) if len(src.absolute().parents) > 1 else None
    for place in (src / "tokenizer.json", run.tokenizer if run else None):
        if place is not None and place.is_file():
            return place
    return None
