"""Cores and memory that this process may really use."""

import os
from dataclasses import dataclass
from pathlib import Path

from m3ae.train.doctor.cgroup import cpu_quota, free_memory, read_lines


@dataclass(frozen=True)
class Cores:
    """Cores of the machine, and those that are left to this process."""

    machine: int
    allowed: int
    """By affinity: a batch system or taskset binds a job to some cores."""
    physical: int
    """Of the allowed ones, those with units of their own: hardware threads share them."""
    quota: float | None
    """Cores' worth of time by the control group; None without a limit."""
    load: float = 0.0
    """Processes of the whole machine that ran or waited to run, in the mean of the minute before."""

    @property
    def usable(self) -> int:
        """Whole cores that can be at work all the time, at least one."""
        return self.within_quota(self.allowed)

    @property
    def computing(self) -> int:
        """Cores that matrix products can fill: two hardware threads of a core are no faster than one."""
        return self.within_quota(self.physical)

    @property
    def busy(self) -> int:
        """Of the usable cores, those that other work takes: it has those that are not ours first."""
        return min(self.usable, max(0, round(self.load - (self.machine - self.usable))))

    @property
    def left(self) -> int:
        """Of the computing cores, those that other work leaves, at least one."""
        return max(1, self.computing - self.busy)

    def within_quota(self, cores: int) -> int:
        """At most the quota, at least one."""
        return max(1, cores if self.quota is None else min(cores, int(self.quota)))


def find_cores() -> Cores:
    """The cores of this process."""
    machine = os.cpu_count() or 1
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(machine))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return Cores(machine, len(allowed), count_physical(allowed), cpu_quota(), load)


def count_physical(cpus: set[int], root: Path = Path("/sys/devices/system/cpu")) -> int:
    """Physical cores behind these logical ones; all of them where the system does not say."""
    siblings = [tuple(read_lines(root / f"cpu{cpu}/topology/thread_siblings_list")) for cpu in cpus]
    return len(set(siblings)) if all(siblings) else len(cpus)


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes that a new process can have without swapping, within its control group's limit."""
    facts = dict(line.split(":", 1) for line in read_lines(meminfo))
    words = facts.get("MemAvailable", "").split()
    everything = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # all that other systems say
    free = int(words[0]) * 1024 if words else everything
    limit = free_memory()
    return free if limit is None else min(free, limit)
