"""Our training curves over the reference logs: those of the last commit, which others compare theirs with."""

import io
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from m3ae.config import Run
from m3ae.records import git
from m3ae.report import html, style
from m3ae.report.curves import LOSSES, SHOWN, read_steps
from m3ae.report.format import rounded
from m3ae.report.paper import label, method

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLACK = "#1c2024"


def over_reference(run: Run) -> str:
    """A chart and a table of every model that has a step log and a committed reference; "-" if none has."""
    pairs = {}
    for model in run.models:
        reference = committed(run, model)
        path = run.paths.step_log(model)
        if reference is not None and path.is_file() and path.stat().st_size:
            pairs[model] = (read_steps(path, model), reference)
    if not pairs:
        return html.note("- (no reference log of this run is committed)")
    rows = pd.DataFrame([gap_row(run, model, *pair) for model, pair in pairs.items()])
    alt = f"Losses over the reference: {'; '.join(rows['model'] + ', ' + rows['widest gap'])}."
    with style.theme():
        image = html.embedded(svg(draw(run, pairs)), ".svg", alt)
    return html.framed(image, Markup("Colour: this run. Black dots: the reference.")) + html.table(
        rows, words=["model", "widest gap"]
    )


def committed(run: Run, model: str) -> pd.DataFrame | None:
    """The reference log as the last commit has it: the file itself is written anew by every run."""
    text = git("show", f"HEAD:./{run.paths.reference_log(model).as_posix()}")
    return pd.read_json(io.StringIO(text), lines=True, precise_float=True) if text else None


def gap_row(run: Run, model: str, ours: pd.DataFrame, reference: pd.DataFrame) -> dict[str, str]:
    """Last losses of both, and the widest relative gap between them at the samples that both logged."""
    both = ours.merge(reference, on="samples", suffixes=("", " reference"))
    gaps = {
        words: 100 * (both[loss] / both[f"{loss} reference"] - 1).abs().max()
        for loss, words in LOSSES.items()
        if f"{loss} reference" in both and both[loss].notna().any()
    }
    told = [f"{words.partition(' (')[0]} {rounded(gap, 2)} %" for words, gap in gaps.items()]
    return {
        "model": label(run, model),
        "points in common": f"{len(both):,}",
        "image loss at the end": rounded(ours["image_loss"].iloc[-1], 4),
        "reference's": rounded(reference.get("image_loss", pd.Series([None])).iloc[-1], 4),
        "widest gap": "; ".join(told) or "-",
    }


def draw(run: Run, pairs: dict[str, tuple[pd.DataFrame, pd.DataFrame]]) -> "Figure":
    """Image loss above, text loss below: ours as lines, the reference as dots."""
    figure = style.new_figure(run, height=5.0)
    for axes, loss in zip(figure.subplots(2, 1, sharex=True), SHOWN, strict=True):
        axes.set_title(LOSSES[loss], loc="left")
        for model, (ours, reference) in pairs.items():
            if ours[loss].notna().any():
                colour = style.COLOURS[method(run, model)]
                axes.plot(ours["samples"], ours[loss], color=colour, linewidth=1.6, label=label(run, model))
                axes.plot(reference["samples"], reference[loss], ".", color=BLACK, markersize=2.5)
        if axes.lines:
            axes.legend(frameon=False, fontsize=9)
        else:
            style.say_nothing(axes)
    axes.set_xlabel("samples seen")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return figure


def svg(figure: "Figure") -> bytes:
    """The chart as SVG without dates, so that the page's bytes stay the same."""
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()
