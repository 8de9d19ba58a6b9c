"""What a training sets for its own process on a processor."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h in glibc
NEVER = -1


def prepare_processor() -> bool:
    """Let the C library keep freed memory for the next step, and say whether it will.

    glibc maps every large block afresh and gives it back when it is freed, so that each step touches its
    gigabytes for the first time again: a page fault every 4 KiB (docs/performance.md). Call it before the
    first step. Elsewhere than with glibc nothing happens; a GPU's memory is not concerned.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))
