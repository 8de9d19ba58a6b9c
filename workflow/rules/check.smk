"""Ours against what it should be: the paper, and the committed reference of the run."""

from glob import glob


# Without an output it is asked each time, and a record that was removed is made again first: where a
# rule's output is there, Snakemake does not miss what it was made from.
rule check:
    """Ours against the paper and the reference results; fails where a number left its tolerance."""
    input:
        figures=[
            rules.figure3.input.records,
            rules.figure4.input.records,
            rules.figure5.input.records,
            rules.figure6.input.records,
        ],
        beyond=[
            *(rules.probes.input if run.headline else []),
            *(rules.detection.input if run.headline else []),
            *(rules.shift.input if run.headline else []),
            *(rules.robustness.input if run.headline else []),
            *(rules.captions.input if run.readers else []),
        ],
        heldout=rules.report.input.heldout,
        concepts=rules.report.input.concepts,
        looks=[rules.figure7.input.pointing, rules.clusters.output],
        paper="config/paper_numbers.csv",
        reference=glob(f"tests/reference/{run.name}.json"),
    log:
        f"logs/{run.name}/check.log",
    params:
        run=run.name,
        report=f"reports/{run.name}/check.md",
        stage=run.stage("report"),
    shell:
        "m3ae check --run {params.run} --report {params.report} --log {log}"
