"""What the container or the batch system lets this process have: Linux control groups, version 1 and 2."""

from collections.abc import Iterator
from pathlib import Path

ROOT, PROC = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
NO_LIMIT = 1 << 60  # bytes; version 1 writes "no limit" as the largest page-aligned number


def groups(controller: str, root: Path = ROOT, proc: Path = PROC) -> Iterator[Path]:
    """The folders of this process's group and of those above it: each of them limits."""
    for line in read_lines(proc):
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for base in [root / controllers, root / controller] if controllers else [root, root / "unified"]:
            group = base / path.lstrip("/")
            yield from (g for g in [group, *group.parents] if g == base or base in g.parents)


def cpu_quota(root: Path = ROOT, proc: Path = PROC) -> float | None:
    """Cores' worth of time that may be used; None without a limit."""
    quotas = []
    for group in groups("cpu", root, proc):
        words = " ".join(read_lines(group / "cpu.max")).split() or [
            *read_lines(group / "cpu.cfs_quota_us"),
            *read_lines(group / "cpu.cfs_period_us"),
        ]
        if len(words) == 2 and words[0].isdigit():  # "max", or -1 in version 1: no limit
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def free_memory(root: Path = ROOT, proc: Path = PROC) -> int | None:
    """Bytes that may still be used before the group's limit; None without a limit."""
    free = []
    for group in groups("memory", root, proc):
        limit = number(group / "memory.max") or number(group / "memory.limit_in_bytes")
        used = number(group / "memory.current") or number(group / "memory.usage_in_bytes")
        if limit is not None and used is not None and limit < NO_LIMIT:
            free.append(limit - used + cached(group))
    return min(free, default=None)


def cached(group: Path) -> int:
    """Bytes of files in memory that the group gives up when it needs room."""
    facts = dict(line.split(" ", 1) for line in read_lines(group / "memory.stat"))
    return int(facts.get("total_inactive_file") or facts.get("inactive_file") or 0)


def number(path: Path) -> int | None:
    """The whole number in a file, if there is one."""
    text = "".join(read_lines(path))
    return int(text) if text.isdigit() else None


def read_lines(path: Path) -> list[str]:
    """The lines of a file; none where it cannot be read."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
