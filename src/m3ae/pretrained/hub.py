"""Folders of the Hugging Face hub."""

import re
from pathlib import Path
from typing import Any

from m3ae.errors import UserError

FILES = ["*.json", "*.safetensors", "README.md"]
OPTIONS = ("revision", "token", "cache_dir", "local_files_only", "force_download")
"""Of `snapshot_download`, which transformers' loading functions have under the same names."""


def is_hub_id(name: str | Path) -> bool:
    """Whether ``name`` is spelled as the hub's `owner/name`."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", str(name)) is not None


def download(hub_id: str, files: list[str] = FILES, **options: Any) -> Path:
    """The folder of a model of the hub with ``files``, from the cache where it is there.

    ``options`` are those of OPTIONS. Raises UserError, one line, if the hub does not give it.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=files, **options))
    except Exception as error:  # offline, unknown, private: each library version has its own kinds
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{hub_id}: no such file or folder here, and the Hugging Face hub does not give it ({reason})"
        ) from None
