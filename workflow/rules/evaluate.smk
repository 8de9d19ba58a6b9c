"""What a frozen encoder is worth: features once, everything else from them."""

from m3ae.config.inputs import encoded_files, imaged_files, word_files

PAIRS = "results/{run}/{model}/pairs.safetensors"
# The first stage that reads it makes it too: a job of its own would wait for torch once more.
pairs_come_from_concepts = run.settings.concepts is not None


rule features:
    """Pass every evaluation set through a frozen encoder, once."""
    input:
        needs.of(
            "results/{run}/{model}/features.safetensors",
            lambda w: encoded_files(run, w.model),
            images,
        ),
    output:
        features="results/{run}/{model}/features.safetensors",
        record="results/{run}/{model}/features.json",
    log:
        "logs/{run}/{model}/features.log",
    params:
        stage=lambda w: run.stage("features", w.model),
    shell:
        "m3ae features --run {wildcards.run} --model {wildcards.model} --log {log}"


rule probe:
    """Linear probes on stored features, one for each task."""
    input:
        needs.of(
            "results/{run}/{model}/probe.safetensors",
            "results/{run}/{model}/features.safetensors",
        ),
    output:
        classifier="results/{run}/{model}/probe.safetensors",
        records=expand("results/{{run}}/{{model}}/probe-{task}.json", task=run.tasks),
    log:
        "logs/{run}/{model}/probe.log",
    params:
        stage=run.stage("probe"),
    shell:
        "m3ae probe --run {wildcards.run} --model {wildcards.model} --log {log}"


rule ood:
    """Out-of-distribution scores: Mahalanobis distance and maximum softmax probability."""
    input:
        needs.of(
            expand("results/{{run}}/{{model}}/ood-{pair}.json", pair=run.ood_pairs),
            "results/{run}/{model}/features.safetensors",
            "results/{run}/{model}/probe.safetensors",
        ),
    output:
        expand("results/{{run}}/{{model}}/ood-{pair}.json", pair=run.ood_pairs),
    log:
        "logs/{run}/{model}/ood.log",
    params:
        stage=run.stage("ood"),
    shell:
        "m3ae ood --run {wildcards.run} --model {wildcards.model} --log {log}"


rule concepts:
    """What captions speak of, read off the frozen encoder: multi-label classification of the run's pairs."""
    input:
        needs.of(
            "results/{run}/{model}/concepts.json",
            lambda w: imaged_files(run, w.model).values(),
            # of other words no record says anything: an encoder that reads them is trained anew, and then this
            lambda w: map(ancient, word_files(run, w.model).values()),
        ),
    output:
        "results/{run}/{model}/concepts.json",
        [PAIRS] if pairs_come_from_concepts else [],
    log:
        "logs/{run}/{model}/concepts.log",
    params:
        stage=lambda w: run.stage("concepts", w.model),
        pairs=lambda w: run.stage("pairs", w.model),
    shell:
        "m3ae concepts --run {wildcards.run} --model {wildcards.model} --log {log}"
