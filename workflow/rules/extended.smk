"""Beyond the paper's figures, for the headline rows: what a user of an encoder asks."""

from m3ae.config.inputs import pair_files


use rule features as features_and_layers with:
    output:
        features="results/{run}/{model}/features.safetensors",
        layers="results/{run}/{model}/layers.safetensors",
        record="results/{run}/{model}/features.json",
    wildcard_constraints:
        model="|".join(run.headline) or "-",
    params:
        stage=lambda w: run.stage("features", w.model),
        layers=lambda w: run.stage("layers", w.model),


ruleorder: features_and_layers > features


rule more_probes:
    """A sweep of linear heads, logistic regression, nearest neighbours, few-shot, from stored features."""
    input:
        needs.of(
            expand("results/{{run}}/{{model}}/probes-{task}.json", task=run.tasks),
            "results/{run}/{model}/features.safetensors",
            "results/{run}/{model}/layers.safetensors",
        ),
    output:
        expand("results/{{run}}/{{model}}/probes-{task}.json", task=run.tasks),
    log:
        "logs/{run}/{model}/probes.log",
    params:
        stage=run.stage("probes"),
    shell:
        "m3ae probes --run {wildcards.run} --model {wildcards.model} --log {log}"


rule augmented_heads:
    """The authors' probe as published, and fine-tuning: the encoder runs again in every epoch."""
    input:
        needs.of(
            expand(
                "results/{{run}}/{{model}}/augmented-{task}.json",
                task=run.augmented_tasks,
            ),
            "results/{run}/{model}/encoder.safetensors",
            "results/{run}/{model}/features.safetensors",
            expand(
                "results/{{run}}/{{model}}/probe-{task}.json", task=run.augmented_tasks
            ),
            images,
        ),
    output:
        expand(
            "results/{{run}}/{{model}}/augmented-{task}.json",
            task=run.augmented_tasks or ["-"],
        ),
    log:
        "logs/{run}/{model}/augmented.log",
    params:
        stage=lambda w: run.stage("augmented", w.model),
    shell:
        "m3ae augmented --run {wildcards.run} --model {wildcards.model} --log {log}"


rule all_scores:
    """Every out-of-distribution score, near and far; reconstruction errors of the autoencoders too."""
    input:
        needs.of(
            expand(
                "results/{{run}}/{{model}}/detection-{pair}.json",
                pair=run.detection_pairs,
            ),
            "results/{run}/{model}/encoder.safetensors",
            "results/{run}/{model}/features.safetensors",
            "results/{run}/{model}/probe.safetensors",
            lambda w: [ancient(run.paths.tokenizer)],  # of the names of classes
            images,
        ),
    output:
        expand(
            "results/{{run}}/{{model}}/detection-{pair}.json", pair=run.detection_pairs
        ),
    log:
        "logs/{run}/{model}/detection.log",
    params:
        stage=lambda w: run.stage("detection", w.model),
    shell:
        "m3ae detection --run {wildcards.run} --model {wildcards.model} --log {log}"


rule changed_images:
    """Accuracy on corrupted test images, and on sets that others took."""
    input:
        needs.of(
            expand("results/{{run}}/{{model}}/shift-{task}.json", task=run.tasks),
            "results/{run}/{model}/encoder.safetensors",
            "results/{run}/{model}/features.safetensors",
            "results/{run}/{model}/probe.safetensors",
            images,
        ),
    output:
        expand("results/{{run}}/{{model}}/shift-{task}.json", task=run.tasks),
    log:
        "logs/{run}/{model}/shift.log",
    params:
        stage=lambda w: run.stage("shift", w.model),
    shell:
        "m3ae shift --run {wildcards.run} --model {wildcards.model} --log {log}"


rule attacks:
    """Accuracy of the probe under attack. Re-entrant: finished batches lie in runs/."""
    input:
        needs.of(
            "results/{run}/{model}/robustness.json",
            "results/{run}/{model}/encoder.safetensors",
            "results/{run}/{model}/features.safetensors",
            "results/{run}/{model}/probe.safetensors",
            images,
        ),
    output:
        "results/{run}/{model}/robustness.json",
    log:
        "logs/{run}/{model}/robustness.log",
    params:
        stage=lambda w: run.stage("robustness", w.model),
    shell:
        "m3ae robustness --run {wildcards.run} --model {wildcards.model} --log {log}"


rule text_side:
    """Words from images, image-text retrieval, questions, probes of text and joint features."""
    input:
        needs.of(
            "results/{run}/{model}/captions.json",
            lambda w: pair_files(run, w.model).values(),
            [PAIRS] if pairs_come_from_concepts else [],
        ),
    output:
        "results/{run}/{model}/captions.json",
        [] if pairs_come_from_concepts else [PAIRS],
    log:
        "logs/{run}/{model}/captions.log",
    params:
        stage=lambda w: run.stage("captions", w.model),
        pairs=lambda w: run.stage("pairs", w.model),
    shell:
        "m3ae captions --run {wildcards.run} --model {wildcards.model} --log {log}"


rule probes:
    """Table and chart: other probes than the paper's."""
    input:
        expand(
            "results/{run}/{model}/probes-{task}.json",
            run=run.name,
            model=run.headline,
            task=run.tasks,
        ),
    output:
        multiext(f"reports/{run.name}/probes", ".csv", ".md", ".svg"),
        report(
            f"reports/{run.name}/probes.png",
            caption="../captions/probes.rst",
            category="Beyond the paper",
            labels={"chart": "Probes"},
        ),
    log:
        f"logs/{run.name}/figure-probes.log",
    params:
        run=run.name,
        target="probes",
        stage=run.stage("extended"),
    shell:
        "m3ae figure {params.target} --run {params.run} --log {log}"


use rule probes as augmented with:
    input:
        expand(
            "results/{run}/{model}/augmented-{task}.json",
            run=run.name,
            model=run.headline,
            task=run.augmented_tasks,
        ),
    output:
        multiext(f"reports/{run.name}/augmented", ".csv", ".md", ".svg"),
        report(
            f"reports/{run.name}/augmented.png",
            caption="../captions/augmented.rst",
            category="Beyond the paper",
            labels={"chart": "Augmented heads"},
        ),
    log:
        f"logs/{run.name}/figure-augmented.log",
    params:
        run=run.name,
        target="augmented",
        stage=run.stage("extended"),


use rule probes as detection with:
    input:
        expand(
            "results/{run}/{model}/detection-{pair}.json",
            run=run.name,
            model=run.headline,
            pair=run.detection_pairs,
        ),
    output:
        multiext(f"reports/{run.name}/detection", ".csv", ".md", ".svg"),
        report(
            f"reports/{run.name}/detection.png",
            caption="../captions/detection.rst",
            category="Beyond the paper",
            labels={"chart": "Detection"},
        ),
    log:
        f"logs/{run.name}/figure-detection.log",
    params:
        run=run.name,
        target="detection",
        stage=run.stage("extended"),


use rule probes as shift with:
    input:
        expand(
            "results/{run}/{model}/shift-{task}.json",
            run=run.name,
            model=run.headline,
            task=run.tasks,
        ),
    output:
        multiext(f"reports/{run.name}/shift", ".csv", ".md", ".svg"),
        report(
            f"reports/{run.name}/shift.png",
            caption="../captions/shift.rst",
            category="Beyond the paper",
            labels={"chart": "Shift"},
        ),
    log:
        f"logs/{run.name}/figure-shift.log",
    params:
        run=run.name,
        target="shift",
        stage=run.stage("extended"),


use rule probes as robustness with:
    input:
        expand(
            "results/{run}/{model}/robustness.json", run=run.name, model=run.headline
        ),
    output:
        multiext(f"reports/{run.name}/robustness", ".csv", ".md", ".svg"),
        report(
            f"reports/{run.name}/robustness.png",
            caption="../captions/robustness.rst",
            category="Beyond the paper",
            labels={"chart": "Attacks"},
        ),
    log:
        f"logs/{run.name}/figure-robustness.log",
    params:
        run=run.name,
        target="robustness",
        stage=run.stage("extended"),


use rule probes as captions with:
    input:
        expand("results/{run}/{model}/captions.json", run=run.name, model=run.readers),
    output:
        multiext(f"reports/{run.name}/captions", ".csv", ".md", ".svg"),
        report(
            f"reports/{run.name}/captions.png",
            caption="../captions/captions.rst",
            category="Beyond the paper",
            labels={"chart": "Text side"},
        ),
    log:
        f"logs/{run.name}/figure-captions.log",
    params:
        run=run.name,
        target="captions",
        stage=run.stage("extended"),
