"""What the source stage says at its end, a line per split."""

from m3ae.config import Run
from m3ae.config.sources import is_web_list, num_heldout
from m3ae.data.source.broken import broken_beside, count_lines
from m3ae.data.source.files import read_files


def summary(run: Run, split: str) -> str:
    """The list of a split in one line."""
    path = run.paths.list(split)
    if not is_web_list(run, split):
        files = list(read_files(path))
        number = num_heldout(run, split)
        side = "" if number is None else f"; a hash sets {number:,} of theirs aside as held out"
        return f"{path}: {len(files):,} files, {sum(file.bytes for file in files) / 1e9:,.2f} GB{side}"
    broken = broken_beside(path)
    left_out = f"; {count_lines(broken):,} broken ones left out, see {broken}" if broken.is_file() else ""
    return f"{path}: {count_lines(path):,} rows{left_out}"
