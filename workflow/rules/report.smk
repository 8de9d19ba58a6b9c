"""Figures and the report, from records alone.

Charts are marked for Snakemake's own report (`--report`) as PNG: it names a file inside the picture's
address, and Chromium shows no SVG from such an address.
"""

from m3ae.config.pages import PAGE_NAMES
from m3ae.config.printed import figure_models


rule figure2:
    """Figure 2: originals, what the model saw of them, what it made of the rest."""
    input:
        encoder=expand(
            "results/{run}/{model}/encoder.safetensors",
            run=run.name,
            model=run.models_of("m3ae")[:1],
        ),
        manifest=f"data/{run.name}/shards/heldout/manifest.json",
        tokens=f"data/{run.name}/tokens/heldout.arrow",
    output:
        f"reports/{run.name}/figure2.json",
        report(
            f"reports/{run.name}/figure2.png",
            caption="../captions/figure2.rst",
            category="The paper's figures",
            labels={"chart": "Figure 2: pictures"},
        ),
    log:
        f"logs/{run.name}/figure2.log",
    params:
        run=run.name,
        stage=run.stage("figure2"),
    shell:
        "m3ae figure figure2 --run {params.run} --log {log}"


rule figure3:
    """Figure 3: linear accuracy against the share of paired data."""
    input:
        records=expand(
            "results/{run}/{model}/probe-{task}.json",
            run=run.name,
            model=figure_models(run, "figure3"),
            task=run.tasks,
        ),
        paper="config/paper_numbers.csv",
    output:
        multiext(f"reports/{run.name}/figure3", ".csv", ".md", ".svg"),
        report(
            f"reports/{run.name}/figure3.png",
            caption="../captions/figure3.rst",
            category="The paper's figures",
            labels={"chart": "Figure 3: captions"},
        ),
    log:
        f"logs/{run.name}/figure3.log",
    params:
        run=run.name,
        stage=run.stage("figure3"),
    shell:
        "m3ae figure figure3 --run {params.run} --log {log}"


rule figure4:
    """Figure 4: linear accuracy against length of training and size of the model."""
    input:
        records=expand(
            "results/{run}/{model}/probe-{task}.json",
            run=run.name,
            model=figure_models(run, "figure4"),
            task=run.tasks[:1],
        ),
        paper="config/paper_numbers.csv",
    output:
        multiext(f"reports/{run.name}/figure4", ".csv", ".md", ".svg"),
        report(
            f"reports/{run.name}/figure4.png",
            caption="../captions/figure4.rst",
            category="The paper's figures",
            labels={"chart": "Figure 4: scale"},
        ),
    log:
        f"logs/{run.name}/figure4.log",
    params:
        run=run.name,
        stage=run.stage("figure4"),
    shell:
        "m3ae figure figure4 --run {params.run} --log {log}"


rule figure5:
    """Figure 5: linear accuracy against the share of hidden words."""
    input:
        records=expand(
            "results/{run}/{model}/probe-{task}.json",
            run=run.name,
            model=figure_models(run, "figure5"),
            task=run.tasks[:1],
        ),
        paper="config/paper_numbers.csv",
    output:
        multiext(f"reports/{run.name}/figure5", ".csv", ".md", ".svg"),
        report(
            f"reports/{run.name}/figure5.png",
            caption="../captions/figure5.rst",
            category="The paper's figures",
            labels={"chart": "Figure 5: hidden words"},
        ),
    log:
        f"logs/{run.name}/figure5.log",
    params:
        run=run.name,
        stage=run.stage("figure5"),
    shell:
        "m3ae figure figure5 --run {params.run} --log {log}"


rule figure6:
    """Figure 6: scores of in- and out-of-distribution images, and their AUROC."""
    input:
        records=expand(
            "results/{run}/{model}/ood-{pair}.json",
            run=run.name,
            model=figure_models(run, "figure6"),
            pair=run.ood_pairs,
        ),
        paper="config/paper_numbers.csv",
    output:
        multiext(f"reports/{run.name}/figure6", ".csv", ".md", ".svg"),
        report(
            f"reports/{run.name}/figure6.png",
            caption="../captions/figure6.rst",
            category="The paper's figures",
            labels={"chart": "Figure 6: detection"},
        ),
    log:
        f"logs/{run.name}/figure6.log",
    params:
        run=run.name,
        stage=run.stage("figure6"),
    shell:
        "m3ae figure figure6 --run {params.run} --log {log}"


rule curves:
    """Training curves of every model, and the step logs behind them."""
    input:
        expand("results/{run}/{model}/steps.jsonl", run=run.name, model=run.models),
    output:
        multiext(f"reports/{run.name}/curves", ".csv", ".svg"),
        report(
            f"reports/{run.name}/curves.png",
            caption="../captions/curves.rst",
            category="How it was made",
            labels={"chart": "Training curves"},
        ),
        logs=expand("reports/{run}/logs/{model}.jsonl", run=run.name, model=run.models),
    log:
        f"logs/{run.name}/curves.log",
    params:
        run=run.name,
        stage=run.stage("curves"),
    shell:
        "m3ae figure curves --run {params.run} --log {log}"


rule compute:
    """What it cost: wall time, operations, utilisation, energy of every stage; a forecast for `paper`."""
    input:
        stages=expand(
            "results/{run}/{model}/{stage}.json",
            run=run.name,
            model=run.models,
            stage=["pretrain", "features"]
            + ["concepts"] * bool(run.settings.concepts),
        ),
        heldout=expand(
            "results/{run}/{model}/heldout.json", run=run.name, model=run.rebuilding
        ),
        figures=[rules.figure3.input.records, rules.figure6.input.records],
        beyond=[
            *(rules.probes.input if run.headline else []),
            *(rules.detection.input if run.headline else []),
            *(rules.shift.input if run.headline else []),
            *(rules.robustness.input if run.headline else []),
            *(rules.captions.input if run.readers else []),
        ],
        looks=[rules.figure7.input.pointing, rules.clusters.output],
        paper="config/paper.yaml",  # of the forecast
    output:
        multiext(f"reports/{run.name}/compute", ".csv", ".md", ".svg"),
        report(
            f"reports/{run.name}/compute.png",
            caption="../captions/compute.rst",
            category="How it was made",
            labels={"chart": "Compute"},
        ),
    log:
        f"logs/{run.name}/compute.log",
    params:
        run=run.name,
        stage=run.stage("compute"),
    shell:
        "m3ae figure compute --run {params.run} --log {log}"


rule report:
    """The run's pages: paper beside ours, and where every number comes from."""
    input:
        figures=[
            rules.figure2.output,
            rules.figure3.output,
            rules.figure4.output,
            rules.figure5.output,
            rules.figure6.output,
            rules.figure7.output,
            rules.figure9.output,
            rules.curves.output,
            rules.compute.output,
        ],
        beyond=[
            *(rules.probes.output if run.headline else []),
            *(rules.detection.output if run.headline else []),
            *(rules.shift.output if run.headline else []),
            *(rules.robustness.output if run.headline else []),
            *(rules.captions.output if run.readers else []),
        ],
        heldout=expand(
            "results/{run}/{model}/heldout.json", run=run.name, model=run.rebuilding
        ),
        concepts=(
            expand(
                "results/{run}/{model}/concepts.json", run=run.name, model=run.models
            )
            if run.settings.concepts
            else []
        ),
        manifests=expand(
            "data/{run}/shards/{split}/manifest.json",
            run=run.name,
            split=["train", "heldout"],
        ),
        template="reports/templates/report.ipynb",
    output:
        pages=expand("reports/{run}/{page}.html", run=run.name, page=PAGE_NAMES),
        notebook=f"reports/{run.name}/report.ipynb",
        summary=f"reports/{run.name}/summary.json",
        orderings=multiext(f"reports/{run.name}/orderings", ".csv", ".md"),
    log:
        f"logs/{run.name}/report.log",
    params:
        run=run.name,
        stage=run.stage("report"),
    shell:
        "m3ae report --run {params.run} --log {log}"


rule report_pdf:
    """The report on paper: report.pdf, printed by the Chromium of this machine."""
    input:
        rules.report.output.notebook,
    output:
        f"reports/{run.name}/report.pdf",
    log:
        f"logs/{run.name}/report_pdf.log",
    params:
        run=run.name,
        stage=run.stage("report"),
    shell:
        "m3ae report-pdf --run {params.run} --log {log}"
