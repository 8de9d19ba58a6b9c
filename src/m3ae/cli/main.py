"""``m3ae``: one command per stage of the workflow. Importing this file imports no torch."""

import click

import m3ae
from m3ae.cli.lazy import lazy_group

# command -> module of m3ae.cli that defines it, and its line in the menu
COMMANDS = {
    "config": ("config", "Show, check and compare run configurations."),
    "sizes": ("sizes", "Parameters and FLOPs of every size of a run."),
    "data": ("data", "Lists, downloads, clean shards, tokens, evaluation sets."),
    "env": ("env", "This environment beside the lock, and beside the one that made a result."),
    "trace": ("provenance", "From a result back to data, code and settings; forward to the cells."),
    "export-crate": ("provenance", "A run as an RO-Crate, for archives: workflow, records, who made what."),
    "doctor": ("doctor", "Before a long run: what binds, how long it takes, what to change."),
    "budget": ("budget", "What a run will cost: GPU-hours, disk, samples; by arithmetic."),
    "pretrain": ("pretrain", "Train one encoder (goes on from its last checkpoint)."),
    "compare-log": ("compare", "Tell at which step, and by how much, a step log left a reference."),
    "heldout": ("evaluate", "Errors on hidden patches and words of held-out pairs."),
    "features": ("evaluate", "Pass every evaluation set through a frozen encoder, once."),
    "pairs": ("evaluate", "Pass the run's own pairs through a frozen encoder, once: images, captions, both."),
    "probe": ("evaluate", "Linear probes on stored features."),
    "ood": ("evaluate", "Out-of-distribution scores on stored features."),
    "concepts": ("evaluate", "What captions speak of, read off a frozen encoder."),
    "pointing": ("pictures", "Whether words look at what they name, in scenes whose places are known."),
    "clusters": (
        "pictures",
        "How classes lie in the features of MAE and M3AE: neighbours, silhouette, t-SNE.",
    ),
    "probes": ("extended", "Other probes: many heads, logistic regression, neighbours, few-shot."),
    "augmented": ("extended", "Heads on augmented images: the authors' probe as published, fine-tuning."),
    "detection": ("extended", "Every out-of-distribution score on stored features."),
    "shift": ("extended", "Accuracy on corrupted images and on sets that others took."),
    "robustness": ("extended", "Accuracy of the probe under attack."),
    "captions": ("extended", "The text side: words from images, retrieval, questions."),
    "artifacts": ("artifacts", "List, check, publish and bring what a run has made."),
    "weights": ("weights", "Show, convert and export weights: ours, the authors', Facebook's MAE."),
    "bench": ("bench", "How fast a run's parts are on this machine, and what binds."),
    "check": ("check", "Hold a run to the paper and to its reference; exit code 1 if it left them."),
    "explain": ("explain", "Tell where a number comes from, and how to make it again."),
    "runs": ("runs", "What was run, when, on what: from the records."),
    "figure": ("report", "Make a figure's table and chart from records."),
    "report": ("report", "Render the pages of a run's report."),
    "report-pdf": ("report", "Print a rendered report, with Chromium."),
}


@click.group(cls=lazy_group(COMMANDS), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(m3ae.__version__, prog_name="m3ae")
def main() -> None:
    """An open, end-to-end reproduction of M3AE (arXiv 2205.14204).

    The workflow calls these commands; `snakemake --list-rules` is the menu of targets.
    """
