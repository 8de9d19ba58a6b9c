"""img2dataset in this process, one shard after the other: starting it takes longer than a small test."""

from functools import partial
from importlib import import_module

import pytest


def fetch_here(arguments, guard, log, tick):
    """What `m3ae.data.download.fetch.fetch` does, in this process."""
    from m3ae.data.download.worker import GuardedDownloader, NoLogger, distribute_here

    main = import_module("img2dataset.main")
    downloader = import_module("img2dataset.downloader")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(main, "Downloader", partial(GuardedDownloader, guard))
        patch.setattr(main, "LoggerProcess", NoLogger)
        patch.setattr(main, "multiprocessing_distributor", distribute_here)
        patch.setattr(main.signal, "signal", lambda *_: None)
        patch.setattr(downloader, "download_image_with_retry", downloader.download_image_with_retry)
        main.download(**arguments)
    tick()
