"""Losses and gradients that are not finite: found without waiting in a step, named by step and sample."""

from typing import NamedTuple

import torch
from torch import Tensor

from m3ae.data.stream.loader import Tensors
from m3ae.errors import UserError
from m3ae.train.ranks import Ranks
from m3ae.train.step import StepResult

SHOWN = 16  # samples that a message lists
NONE = 2**62


class Seen(NamedTuple):
    """What is kept of a step until it is checked."""

    step: int
    samples: Tensor
    passages: Tensor
    result: StepResult


class FiniteWatch:
    """Keeps the steps since the last check, and stops the training at the first one that is broken."""

    def __init__(self, name: str, ranks: Ranks) -> None:
        self.name, self.ranks = name, ranks
        self.seen: list[Seen] = []

    def note(self, step: int, batch: Tensors, result: StepResult) -> None:
        """Keep the ids and errors of a step, nothing that is large."""
        self.seen.append(Seen(step, batch.sample, batch.passage, result))

    def check(self, last_good: str) -> None:
        """Raise UserError, at every rank, for the first step since the last check that is broken at any."""
        step = min(int(words) for words in self.ranks.gather(str(self.first_broken())))
        if step == NONE:
            self.seen.clear()
            return
        here = next(seen for seen in self.seen if seen.step == step)
        broken = sorted(set(self.of_all_ranks(broken_values(here.result))))
        culprits = self.of_all_ranks(culprits_of(here))
        samples = listed(culprits) if culprits else "no sample alone; " + listed(names_of(here))
        raise self.ranks.once(
            UserError(
                f"{self.name}: {' and '.join(broken)} not finite at step {step} ({samples}); {last_good}; "
                "look at these samples, lower pretrain.base_lr or use precision fp32"
            )
        )

    def of_all_ranks(self, names: list[str]) -> list[str]:
        """The names that any rank found, in the order of the ranks."""
        return [name for words in self.ranks.gather(",".join(names)) for name in words.split(",") if name]

    def first_broken(self) -> int:
        """The first step since the last check with a value that is not finite at this rank, or NONE."""
        if not self.seen:
            return NONE
        finite = torch.stack([torch.stack([*are_finite(seen.result).values()]).all() for seen in self.seen])
        whole = finite.tolist()  # waits for the device, once for all the steps
        return NONE if all(whole) else self.seen[whole.index(False)].step


def are_finite(result: StepResult) -> dict[str, Tensor]:
    """For each value of a step whether it is finite, on the device."""
    return {
        name: value.isfinite().all()
        for name, value in {**result.losses, "grad_norm": result.grad_norm}.items()
    }


def broken_values(result: StepResult) -> list[str]:
    """The values of a step that are not finite at this rank."""
    return [name for name, finite in are_finite(result).items() if not finite]


def names_of(seen: Seen) -> list[str]:
    """This rank's samples of a step."""
    return [f"sample {sample}" for sample in seen.samples.tolist()] + [
        f"passage {passage}" for passage in seen.passages.tolist()
    ]


def culprits_of(seen: Seen) -> list[str]:
    """This rank's samples of a step whose own losses are not finite."""
    images = torch.cat([rows.images.isfinite().cpu() for rows in seen.result.rows])
    captions = [rows.captions.isfinite().cpu() for rows in seen.result.rows if rows.captions is not None]
    if captions:
        images &= torch.cat(captions)
    passages = [rows.passages.isfinite().cpu() for rows in seen.result.rows if rows.passages is not None]
    finite = torch.cat([images, *passages])
    return [name for name, whole in zip(names_of(seen), finite.tolist(), strict=False) if not whole]


def listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
