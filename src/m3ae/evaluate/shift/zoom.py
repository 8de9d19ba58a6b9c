"""Zooming into the centre, as ImageNet-C defines it. Images are float64 in [0, 1].

A linear zoom works on rows and columns apart, each a sparse matrix with two weights per row.
"""

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import ndimage, sparse

from m3ae.evaluate.shift.noise import Pixels, Random

Map = Float[np.ndarray, "side side"]


def zoom_blur(image: Pixels, constant: tuple[float, ...], random: Random) -> Pixels:
    """The mean of the image and of it zoomed by factors from 1 up to a stop, in steps."""
    factors, side = tuple(np.arange(1, *constant).tolist()), len(image)
    zooms = [zoom_matrix(side, factor) for factor in factors]
    rows = (sparse.vstack(zooms) @ image.reshape(side, -1)).reshape(-1, side, side, 3)
    columns_first = rows.transpose(0, 2, 1, 3).reshape(len(factors) * side, -1)
    total = (sparse.hstack(zooms) @ columns_first).reshape(side, side, 3).transpose(1, 0, 2)
    return (image + total) / (len(factors) + 1)


def zoomed(image: Map, factor: float) -> Map:
    """The centre, enlarged linearly to the size of the whole."""
    zoom = zoom_matrix(len(image), factor)
    return zoom @ image @ zoom.T


@lru_cache(maxsize=256)
def zoom_matrix(side: int, factor: float) -> sparse.csr_array:
    """What takes a line of ``side`` pixels to its zoomed centre.

    The centre is cut at whole pixels, enlarged as ``scipy.ndimage.zoom`` does, and its surplus trimmed.
    """
    cut = math.ceil(side / factor)
    large = ndimage.zoom(np.eye(cut), (factor, 1), order=1)
    trim, top = (len(large) - side) // 2, (side - cut) // 2
    matrix = np.zeros((side, side))
    matrix[:, top : top + cut] = large[trim : trim + side]
    return sparse.csr_array(matrix)
