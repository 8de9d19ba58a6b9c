"""What a file of weights is, in a few lines."""

from pathlib import Path
from typing import Any

from tabulate import tabulate

from m3ae.files import sha256_of
from m3ae.pretrained.load import read_source, weight_files
from m3ae.pretrained.methods import method_of
from m3ae.pretrained.source import Source

KINDS = {
    "authors": "the authors' code (young-geng/m3ae_public)",
    "facebook": "Facebook's MAE (facebookresearch/mae)",
    "timm": "timm (huggingface/pytorch-image-models)",
    "ours": "this project",
}
ENCODER = ("patch_embedding.", "encoder.", "cls_token")


def describe(path: str, overrides: dict[str, Any]) -> str:
    """A table: where the weights came from, the model, its parameters, the files and their hashes."""
    source = read_source(path, overrides)
    rows = [("came from", KINDS.get(source.origin.get("kind", ""), "unknown"))]
    rows += [(key, value) for key, value in source.origin.items() if key != "kind"]
    rows += model_rows(source)
    rows += [(f"sha256 of {file.name}", sha256_of(file)) for file in files_of(Path(path)) if file.is_file()]
    return tabulate(rows, tablefmt="plain", disable_numparse=True)


def model_rows(source: Source) -> list[tuple[str, Any]]:
    """Sizes and parameters."""
    a = source.architecture
    counts = {name: tensor.numel() for name, tensor in source.tensors.items()}
    encoder = sum(count for name, count in counts.items() if name.startswith(ENCODER))
    method = method_of(source.origin, a.has_text)
    rows: list[tuple[str, Any]] = [
        ("model", method.name + ("" if a.has_decoder else ", encoder alone")),
        *([("not converted", method.left_out)] if method.left_out else []),
        ("encoder", f"{a.width} x {a.depth} x {a.num_heads} (width x depth x heads)"),
    ]
    if a.has_decoder:
        rows.append(("decoder", f"{a.decoder_width} x {a.decoder_depth} x {a.decoder_num_heads}"))
    rows += [
        ("image", f"{a.image_px} px in patches of {a.patch_px}, {a.num_patches} patches"),
        ("words", f"{a.vocab_size:,} word pieces, {a.max_tokens} slots" if a.has_text else "-"),
        ("gelu", a.gelu),
        ("type embedding", "yes" if a.type_embedding else "no"),
        ("parameters", f"{sum(counts.values()):,}, of which encoder {encoder:,}"),
    ]
    return rows


def files_of(path: Path) -> list[Path]:
    """The files that hold the weights."""
    return weight_files(path) if path.is_dir() else [path]
