"""Whether a step fits into memory, and the accumulation that follows if it does not."""

from dataclasses import dataclass

from m3ae.train.doctor.findings import Finding, error, ok
from m3ae.train.doctor.memory import Memory
from m3ae.train.doctor.stepping import Plan, plan_of
from m3ae.train.doctor.units import size

USED = 0.9  # of what is free: an estimate may be a little too low, and others want memory too


@dataclass(frozen=True)
class Room:
    """Memory that a training takes, beside what is free (bytes)."""

    memory: Memory
    free: int
    batch: int
    """Samples of a step on this device."""
    plan: Plan
    """As the configuration and --device-batch ask."""
    recompute: bool

    @property
    def largest(self) -> int:
        """The most samples of a pass that fit."""
        return self.memory.largest(USED * self.free, self.recompute)

    @property
    def fits_without_recompute(self) -> bool:
        """Whether the plan would fit without activation checkpointing."""
        return self.plan.samples <= self.memory.largest(USED * self.free)

    def fitting(self, least: int) -> Plan | None:
        """The plan, with smaller passes if need be, by estimate; None if none of ``least`` samples fits."""
        if self.largest < least:
            return None
        return plan_of(self.batch, min(self.largest, self.plan.samples), least)


def judge_room(room: Room, found: Plan | None) -> Finding:
    """How the plan fits. ``found`` is the one that does; None if none does, not even the smallest pass."""
    plan = room.plan
    needed = size(room.memory.needed(plan.samples, room.recompute))
    says = f"about {needed} for passes of {plan.samples} samples with full captions, {size(room.free)} free"
    if found == plan:
        return ok("memory of a step", f"{says}; {plan.passes} pass(es) a step")
    recomputed = room.memory.needed(plan.samples, recompute=True)
    other = (
        "" if room.recompute or recomputed > USED * room.free else f", or --recompute ({size(recomputed)})"
    )
    if found is None:
        return error(
            "memory of a step", f"{says}: not even the smallest pass fits; use a larger machine{other}"
        )
    return error(
        "memory of a step",
        f"{says}; --device-batch {found.samples} fits ({found.passes} passes a step){other}",
    )
