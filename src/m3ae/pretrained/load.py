"""`load_pretrained`: the authors' weights, Facebook's or ours, from a file, a folder or the hub."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from m3ae.errors import UserError
from m3ae.model.weights import facts_beside, read_weights
from m3ae.packing import ENCODER, PACKED_ENCODER, unpacked
from m3ae.pretrained.authors import read_authors
from m3ae.pretrained.facebook import read_facebook
from m3ae.pretrained.hub import download, is_hub_id
from m3ae.pretrained.methods import baseline_of
from m3ae.pretrained.settings import check_view
from m3ae.pretrained.source import CC12M, IMAGENET, Source, known_settings, with_overrides

if TYPE_CHECKING:
    from m3ae.pretrained.huggingface import M3AEForPreTraining

VIEW = {"image_mean", "image_std"}
PREFIX = "m3ae."  # of our tensors' names within the Hugging Face class

# What people save under the name of the weights they wanted.
IMPOSTORS = [
    (
        rb"\s*(<!doctype|<html|<\?xml)",
        "a web page, not weights: the download gave its page instead of the file",
    ),
    (rb"version https://git-lfs", "a Git LFS pointer, not weights: fetch the file itself (git lfs pull)"),
    (rb"\x1f\x8b", "a gzip archive: unpack it first"),
    (rb"$", "an empty file: download it again"),
]


def load_pretrained(path_or_hub_id: str | Path, **config: Any) -> "M3AEForPreTraining":
    """The model of a file, a folder or a hub id, in eval mode, on the CPU, in fp32.

    Reads the authors' released pickles (`*.pkl`, M3AE and MAE), Facebook's MAE (`*.pth`, full or encoder
    alone), weights of the workflow (`*.safetensors`), and folders and hub ids of `save_pretrained`. Nothing
    in a file is executed. Keywords replace settings of the file, or give those that it does not name:
    ``num_heads``, ``decoder_num_heads``, ``norm_pix_loss``, ``image_mask_ratio``, ``text_mask_ratio``, ...
    Raises UserError (a ValueError), one line, for what cannot be read.
    """
    from m3ae.pretrained.huggingface import M3AEForPreTraining

    source = read_source(path_or_hub_id, config)
    return M3AEForPreTraining.from_core(source.core(path_or_hub_id), origin=source.origin, **source.view)


def read_source(path_or_hub_id: str | Path, overrides: dict[str, Any] | None = None) -> Source:
    """Architecture and tensors, without building a model."""
    overrides = known_settings(overrides or {})
    path = Path(path_or_hub_id)
    path = unpacked(path.with_name(ENCODER) if path.name == PACKED_ENCODER else path)
    if path.is_dir():
        return read_folder(path, overrides)
    if path.is_file():
        return read_file(path, overrides)
    if is_hub_id(path_or_hub_id) and path.suffix not in (".pkl", ".pth"):
        return read_folder(download(str(path_or_hub_id)), overrides)
    raise UserError(f"{path}: no such file or folder, and not a hub id (owner/name)")


def read_file(path: Path, overrides: dict[str, Any]) -> Source:
    """A single file, by what it is."""
    with path.open("rb") as file:
        head = file.read(256)
    for pattern, what in IMPOSTORS:
        if re.match(pattern, head, re.IGNORECASE):
            raise UserError(f"{path}: {what}")
    if path.suffix == ".safetensors":
        architecture, tensors, origin = read_weights(path)
        origin = origin or {"kind": "ours", "source": path.name, **run_of(path)}
        recorded = record_of(path).get("settings", {}).get("method")
        origin = origin | baseline_of(origin, facts_beside(path).get("method"), recorded)
        view = view_of(path, origin)
        origin = {name: value for name, value in origin.items() if name not in view}
        return Source(with_overrides(architecture, overrides, path), tensors, origin, view)
    if head.startswith(b"PK") or path.suffix in (".pth", ".pt"):
        return read_facebook(path, overrides)
    return read_authors(path, overrides)


def record_of(encoder: Path) -> dict[str, Any]:
    """The record of the training that wrote an encoder.safetensors, where it lies beside it."""
    record = encoder.with_name("pretrain.json")
    return read_json(record) if encoder.name == "encoder.safetensors" and record.is_file() else {}


def run_of(encoder: Path) -> dict[str, Any]:
    """Run, model and commit of weights of the workflow."""
    record = record_of(encoder)
    facts = {"run": record.get("run"), "model": record.get("model")}
    facts["commit"] = record.get("provenance", {}).get("commit")
    return {name: value for name, value in facts.items() if value}


def view_of(encoder: Path, origin: dict[str, Any]) -> dict[str, list[float]]:
    """How images were normalised: as the file itself says, the record beside it, or where it came from."""
    image = record_of(encoder).get("settings", {}).get("image", {})
    if origin.keys() >= VIEW:
        view = {name: origin[name] for name in sorted(VIEW)}
    elif image.keys() >= {"mean", "std"}:
        view = {"image_mean": image["mean"], "image_std": image["std"]}
    else:
        return IMAGENET if origin.get("normalisation") == "imagenet" else CC12M
    try:
        check_view(**view)
    except UserError as error:
        raise UserError(f"{encoder}: {error}") from None
    return view


def read_folder(folder: Path, overrides: dict[str, Any]) -> Source:
    """A folder of `save_pretrained`: config.json and safetensors, in one file or several."""
    from m3ae.pretrained.huggingface import M3AEConfig

    settings = read_json(folder / "config.json")
    if settings.get("model_type") != M3AEConfig.model_type:
        raise UserError(f"{folder}: expected a model of type m3ae, got {settings.get('model_type')!r}")
    try:
        config = M3AEConfig.from_dict(settings)
    except Exception as error:  # transformers raises many kinds for settings of its own
        raise UserError(f"{folder}/config.json: {' '.join(str(error).split())[:200]}") from None
    architecture = with_overrides(config.architecture, overrides, folder)
    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder):
        try:
            tensors |= load_file(file)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{file}: expected whole safetensors, got something else ({error})") from None
    tensors = {name.removeprefix(PREFIX): tensor.float() for name, tensor in tensors.items()}
    view = {"image_mean": list(config.image_mean or []), "image_std": list(config.image_std or [])}
    return Source(architecture, tensors, config.origin or {}, view)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors of a folder: one, or those that its index names.

    Where there are both, an earlier save left its index: the single file counts, as for transformers.
    """
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file() or not index.is_file():
        return [whole]
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise UserError(f"{index}: expected weight_map, the file of each tensor, got {str(names)[:60]}")
    return [folder / name for name in sorted({Path(str(name)).name for name in names.values()})]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises UserError, one line, if it is missing or broken."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a folder made by save_pretrained") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content
