"""An inspection as text for a terminal of 100 columns."""

from collections.abc import Sequence

from tabulate import tabulate

from m3ae.data.inspect.facts import Captions, Estimate, Images, Inspection, Pixels, Rejection, Spread
from m3ae.data.inspect.histogram import bars

EXAMPLE_CHARS = 44
YIELD = {
    "rows": "captions listed",
    "images": "images listed",
    "received": "images received",
    "kept": "images kept",
    "share": "kept of those listed",
}
"""The manifest's `yield` in words."""


def render(found: Inspection) -> str:
    """All sections, an empty line between them."""
    sections = [counts(found), *rejections(found.rejected)]
    if found.images:
        sections.append(images(found.images))
    if found.captions:
        sections += captions(found.captions, found.count)
        sections += [f"Length in word pieces: not known ({found.no_pieces})"] if found.no_pieces else []
    else:
        sections.append("Captions: none was found.")
    if found.pixels:
        sections.append(pixels(found.pixels, found.count))
    return "\n\n".join(sections)


def counts(found: Inspection) -> str:
    """Where it lies, how much it is, how much of the source came through."""
    rows = [
        ["samples", f"{found.count:,}"],
        ["shards", f"{found.num_shards:,}"],
        ["bytes", size(found.bytes)],
    ]
    rows += [[YIELD.get(name, name), number(value)] for name, value in found.yield_.items()]
    rows += [["exact duplicates, dropped", f"{found.duplicates:,}"]]
    return f"{found.folder} ({found.split})\n{table(rows)}"


def rejections(rejected: list[Rejection]) -> list[str]:
    """The table of reasons."""
    if not rejected:
        return ["Rejected: nothing."]
    rows = [
        [entry.reason, f"{entry.count:,}", percent(entry.share), shown(entry.example)] for entry in rejected
    ]
    return [f"Rejected, by reason\n{table(rows, ['reason', 'count', 'share', 'for example'])}"]


def images(found: Images) -> str:
    """Sizes and aspect ratios."""
    rows = [
        ["width (px)", *spread(found.width)],
        ["height (px)", *spread(found.height)],
        ["long / short side", *spread(found.aspect)],
        ["JPEG (bytes)", *spread(found.bytes)],
    ]
    return f"Images, all {found.num:,} ({size(found.total_bytes)})\n{table(rows, ['', *Spread.model_fields])}"


def captions(found: Captions, count: int) -> list[str]:
    """Captions per image, and histograms of their lengths."""
    read = part(found.num_samples, count, "row groups drawn at random")
    rows = [
        [str(num), f"{images:,}", percent(images / found.num_samples)]
        for num, images in sorted(found.per_image.items())
    ]
    lines = [
        f"Captions of {read}\n{found.num:,}, of which {found.repeated:,} repeat another one\n"
        + table(rows, ["captions", "images", "share"])
    ]
    for lengths in found.lengths:
        head = f"Length in {lengths.unit}: mean {lengths.spread.mean:.1f}, "
        head += f"median {lengths.spread.median:g}, longest {lengths.spread.max:g}"
        lines.append(f"{head}\n{table(bars(lengths.bins), align=('left', 'right', 'right', 'left'))}")
    return lines


def pixels(found: Pixels, count: int) -> str:
    """Mean and standard deviation of each channel, beside the run's constants where one was named."""
    seen = f"RGB, short side to {found.size_px} px, centre crop"
    head = f"Pixels in [0, 1] of {part(found.num_images, count)}\n{seen}"
    rows = [
        [channel.name, quantity, *estimate(value)]
        for channel in found.channels
        for quantity, value in (("mean", channel.mean), ("std", channel.std))
    ]
    columns = ["channel", "", "value", "95 % interval"]
    if found.run:
        columns += [f"{found.run}'s", "difference"]
    return f"{head}\n{table(rows, columns)}"


def estimate(value: Estimate) -> list[str]:
    """The cells of one estimate."""
    cells = [f"{value.value:.4f}", f"{value.low:.4f} to {value.high:.4f}"]
    if value.configured is None:
        return cells
    return [*cells, f"{value.configured:.4f}", f"{value.value - value.configured:+.4f}"]


def part(num: int, count: int, drawn: str = "drawn at random") -> str:
    """Whether a number speaks of all samples or of some, and of which."""
    return f"all {count:,} samples" if num == count else f"{num:,} of {count:,} samples ({drawn})"


def spread(found: Spread) -> list[str]:
    """The cells of one spread: whole numbers from 100 on, four digits below."""
    return [f"{value:,.0f}" if value >= 100 else f"{value:.4g}" for value in found.model_dump().values()]


def table(rows: Sequence[Sequence[str]], columns: Sequence[str] = (), align: Sequence[str] = ()) -> str:
    """Plain columns: names to the left, numbers to the right."""
    width = max(len(row) for row in rows)
    align = align or ["left" if is_text(rows, column) else "right" for column in range(width)]
    return tabulate(rows, columns, tablefmt="simple", disable_numparse=True, colalign=align)


def is_text(rows: Sequence[Sequence[str]], column: int) -> bool:
    """Whether a column holds words: then it is read from the left."""
    return not any(row[column][:1] in "+-0123456789" and row[column] for row in rows)


def shown(text: str) -> str:
    """One short line without control characters: details quote what servers answered."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= EXAMPLE_CHARS else line[: EXAMPLE_CHARS - 1] + "…"


def number(value: float) -> str:
    """Counts with separators, shares in per cent."""
    return f"{value:,}" if isinstance(value, int) else percent(value)


def percent(share: float) -> str:
    """As `12.3 %`; what is rare must not look like nothing."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def size(num_bytes: int) -> str:
    """As `1.2 GB`; powers of 1,000."""
    value, units = float(num_bytes), iter(["bytes", "kB", "MB", "GB"])
    unit = next(units)
    while value >= 1000 and (larger := next(units, None)):
        value, unit = value / 1000, larger
    return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
