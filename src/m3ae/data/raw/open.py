"""Open a split of a run, whatever kind of source it comes from."""

from m3ae.config import Run
from m3ae.config.data import (
    FolderSource,
    Hdf5Source,
    ImageFolder,
    ImageHdf5,
    ImageWebdataset,
    WebdatasetSource,
)
from m3ae.config.sources import source_of
from m3ae.data.raw.samples import Raw


def open_raw(run: Run, split: str) -> Raw:
    """The raw samples of a split. Raises UserError if they were not brought, or not all."""
    source = source_of(run, split)
    if isinstance(source, WebdatasetSource | ImageWebdataset):
        from m3ae.data.raw.webdataset import WebdatasetRaw

        return WebdatasetRaw(run, split)
    if isinstance(source, FolderSource | ImageFolder):
        from m3ae.data.raw.folder import FolderRaw

        return FolderRaw(run, split)
    if isinstance(source, Hdf5Source | ImageHdf5):
        from m3ae.data.raw.hdf5 import Hdf5Raw

        return Hdf5Raw(run, split)
    from m3ae.data.raw.broken import with_broken_rows
    from m3ae.data.raw.img2dataset import Img2datasetRaw

    return with_broken_rows(Img2datasetRaw(run, split), run, split)
