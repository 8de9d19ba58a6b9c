"""Square Attack (Andriushchenko et al. 2020): random squares that lower the margin, no gradient."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from m3ae.evaluate.attack.losses import margin
from m3ae.evaluate.attack.norms import per_image, project, size
from m3ae.evaluate.attack.victim import Images, Labels

SHARE = 0.8  # of the pixels, at first
HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 queries


def share_of_pixels(query: int, queries: int) -> float:
    """How many of the pixels a square covers: halved at stated queries, which scale with their number."""
    place = query / queries * 10_000
    return SHARE / 2 ** sum(place > limit for limit in HALVED_AT)


@torch.no_grad()
def square(
    victim: nn.Module,
    images: Images,
    labels: Labels,
    radius: float,
    norm: str,
    random: torch.Generator,
    *,
    queries: int = 5000,
) -> Images:
    """The images with the smallest margin that were found."""
    start, step = (stripes, square_step) if norm == "linf" else (tiles, energy_step)
    best = project(start(images, radius, random), images, radius, norm)
    lowest = margin(victim(best), labels)
    for query in range(1, queries):
        going = (lowest >= 0).nonzero()[:, 0]  # a tie is still right
        if not len(going):
            break
        share = share_of_pixels(query, queries)
        tried = step(images[going], best[going], radius, share, random)
        tried = project(tried, images[going], radius, norm)
        found = margin(victim(tried), labels[going])
        better = found < lowest[going]
        best[going] = torch.where(per_image(better), tried, best[going])
        lowest[going] = torch.where(better, found, lowest[going])
    return best


def signs(shape: tuple[int, ...], random: torch.Generator, like: Tensor) -> Tensor:
    """1 and -1 with equal chances."""
    return (torch.randint(0, 2, shape, generator=random) * 2 - 1).to(like)


def windows(
    images: Images, side: int, random: torch.Generator
) -> tuple[Int[Tensor, "batch side"], Int[Tensor, "batch side"]]:
    """Rows and columns of a random square of each image."""
    corners = []
    for length in images.shape[2:]:
        first = torch.randint(0, length - side + 1, (len(images), 1), generator=random)
        corners.append((first + torch.arange(side)).to(images.device))
    return corners[0], corners[1]


def place(rows: Tensor, columns: Tensor) -> tuple[Tensor, slice, Tensor, Tensor]:
    """The index of a square of each image, as (batch, side, side, channel)."""
    batch = torch.arange(len(rows), device=rows.device)
    return batch[:, None, None], slice(None), rows[:, :, None], columns[:, None, :]


# ---- L-infinity --------------------------------------------------------------------------------------------


def stripes(images: Images, radius: float, random: torch.Generator) -> Images:
    """Vertical stripes of one pixel, plus or minus the radius in each channel."""
    batch, channels, _, width = images.shape
    return images + radius * signs((batch, channels, 1, width), random, images)


def square_step(images: Images, best: Images, radius: float, share: float, random: torch.Generator) -> Images:
    """One square of each image at plus or minus the radius in each channel."""
    height, width = images.shape[2:]
    side = min(max(round((share * height * width) ** 0.5), 1), min(height, width))
    rows, columns = windows(images, side, random)
    index, tried = place(rows, columns), best.clone()
    tried[index] = images[index] + radius * signs((len(images), 1, 1, images.shape[1]), random, images)
    return tried


# ---- L2 ----------------------------------------------------------------------------------------------------


def tiles(images: Images, radius: float, random: torch.Generator) -> Images:
    """A grid of five by five patterns, each with a random sign, of the ball's norm."""
    change, side = torch.zeros_like(images), max(images.shape[2] // 5, 1)
    for top in range(0, images.shape[2] - side + 1, side):
        for left in range(0, images.shape[3] - side + 1, side):
            flips = signs((len(images), images.shape[1], 1, 1), random, images)
            change[:, :, top : top + side, left : left + side] += flips * pattern(side, random).to(images)
    return images + radius * change / per_image(size(change, "l2"))


def energy_step(images: Images, best: Images, radius: float, share: float, random: torch.Generator) -> Images:
    """Take the change out of one square, and put all that the ball allows into another one (Algorithm 3).

    Each channel of a square has its own sign, its own former direction and its own share of what is free.
    """
    channels, height, width = images.shape[1:]
    side = max(round((share * height * width) ** 0.5), 3)
    side = min(side + 1 - side % 2, min(height, width))
    to, out = place(*windows(images, side, random)), place(*windows(images, side, random))
    change = best - images
    inside = torch.zeros_like(images)
    inside[to], inside[out] = 1, 1
    left = (radius**2 - size(change, "l2").square()).clamp(min=0)  # of the ball, not used so far
    in_windows = (change * inside).square().sum(dim=(2, 3))
    flips = signs((len(images), 1, 1, channels), random, images)
    old = change[to] / (change[to].square().sum(dim=(1, 2), keepdim=True).sqrt() + 1e-10)
    new = flips * pattern(side, random).to(images)[None, :, :, None] + old
    norms = new.square().sum(dim=(1, 2), keepdim=True).sqrt() + 1e-10
    wanted = (left[:, None] / channels + in_windows).sqrt()[:, None, None, :]
    change[out] = 0
    change[to] = new / norms * wanted
    return images + radius * change / per_image(size(change, "l2")).clamp(min=1e-10)


def pattern(side: int, random: torch.Generator) -> Float[Tensor, "side side"]:
    """A bump and its negative, side by side or one above the other, of norm 1."""
    half = side // 2
    both = torch.cat([bump(half, side), -bump(side - half, side)]) if half else bump(side, side)
    if torch.rand((), generator=random) > 0.5:
        both = both.T
    return both / both.norm()


def bump(height: int, width: int) -> Float[Tensor, "height width"]:
    """Nested rectangles about the centre, each 1 / (distance + 1)^2 higher."""
    rows = (torch.arange(height) - height // 2).abs()[:, None]
    columns = (torch.arange(width) - width // 2).abs()[None]
    reach = max(height // 2, width // 2) + 1
    heights = [(torch.maximum(rows, columns) <= ring).float() / (ring + 1) ** 2 for ring in range(reach)]
    return torch.stack(heights).sum(dim=0)
