"""What a person reads: findings, a table of speeds, and a sentence."""

from collections.abc import Iterator

from tabulate import tabulate

from m3ae.train.doctor.examine import Examination
from m3ae.train.doctor.findings import Finding
from m3ae.train.doctor.units import duration
from m3ae.train.doctor.verdict import Rates

COLUMNS = ("part", "ms/sample", "samples/s", "")


def render(found: Examination) -> str:
    """Everything, the verdict last."""
    parts = [findings(found.findings)]
    rows = list(rows_of(found))
    if rows:
        parts.append(
            tabulate(rows, COLUMNS, disable_numparse=True, colalign=("left", "right", "right", "left"))
        )
    return "\n\n".join([*parts, sentence(found)])


def findings(found: list[Finding]) -> str:
    """A line each."""
    return tabulate([(f.level, f.about, f.says) for f in found], tablefmt="plain", disable_numparse=True)


def rows_of(found: Examination) -> Iterator[tuple[str, str, str, str]]:
    """The table."""
    reading, rates = found.reading, found.rates
    if reading is not None:
        note = "from disk" if reading.from_disk else "whether from disk is not known here"
        yield row("storage", reading.cold["storage"], f"{note}; one process on one core, as the next ones")
        for part, seconds in reading.warm.items():
            yield row(part, seconds, "from memory" if part == "storage" else "")
        yield row("loader", 1 / reading.samples_per_s, f"as training reads, --workers {reading.workers}")
    if rates is None or found.timed is None:
        return
    if found.transfer is not None:
        yield row("host to device", 1 / found.transfer.samples_per_s, f"{found.transfer.gb_per_s:.1f} GB/s")
    else:
        yield "host to device", "-", "-", "none needed"
    timed = f"{found.timed.passes} x {found.timed.samples} samples"
    yield row("step", 1 / rates.step, f"{timed}, data that wait for nothing")
    if rates.together is not None:
        yield row("steps on the data", 1 / rates.together, timed)


def row(part: str, seconds: float, note: str) -> tuple[str, str, str, str]:
    """A line of the table, from the seconds of a sample."""
    return (
        part,
        f"{1e3 * seconds:.3f}",
        f"{1 / seconds:,.0f}" if seconds < 0.1 else f"{1 / seconds:.2f}",
        note,
    )


def sentence(found: Examination) -> str:
    """The verdict."""
    errors = sum(finding.level == "error" for finding in found.findings)
    verdict = "ready" if not errors else f"not ready: {errors} error(s) above would stop the run"
    if found.rates is None or found.seconds_left is None or found.left is None:
        return f"{found.run} {found.model}: {verdict}."
    speed = f"{found.rates.expected:,.1f} samples/s expected on this device; {found.binds} binds"
    how = how_known(found.rates)
    if found.left.samples == 0:
        time = "no step is left"
    else:
        done = f" after step {found.left.done} of {found.left.steps}" if found.left.done else ""
        time = f"{found.left.samples:,} samples are left{done}: about {duration(found.seconds_left)}"
    return f"{found.run} {found.model}: {verdict}. {speed} ({how}). {time}.\nTo be faster: {found.advice}."


def how_known(rates: Rates) -> str:
    """Where the expected speed comes from."""
    if rates.loader is None:
        return "steps alone, full captions: the data are not there to be measured"
    shared = "the loader works beside the step" if rates.beside else "loader and step take turns"
    shared += ", on the same cores" if rates.share_cores else ""
    if rates.together is None:
        return f"{shared}; the parts allow {rates.allowed:,.1f}"
    return f"measured; {shared}, the parts alone would allow {rates.allowed:,.1f}"
