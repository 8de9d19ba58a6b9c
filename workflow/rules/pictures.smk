"""The figures that look into the models: attention (Figures 7 and 8), classes in the features (Figure 9)."""


rule pointing:
    """Whether words look at what they name, where that is known: of scenes that are made here."""
    input:
        needs.of(
            "results/{run}/{model}/pointing.json",
            "results/{run}/{model}/encoder.safetensors",
            "data/{run}/shards/heldout/manifest.json",
            "data/{run}/tokens/heldout.arrow",
        ),
    output:
        "results/{run}/{model}/pointing.json",
    log:
        "logs/{run}/{model}/pointing.log",
    params:
        stage=lambda w: run.stage("pointing", w.model),
    shell:
        "m3ae pointing --run {wildcards.run} --model {wildcards.model} --log {log}"


rule clusters:
    """How classes lie in the stored features of MAE and M3AE: neighbours, silhouette, a map."""
    input:
        needs.of(
            expand(
                "results/{run}/{model}/clusters.json",
                run=run.name,
                model=run.clustered,
            ),
            expand(
                "results/{run}/{model}/features.safetensors",
                run=run.name,
                model=run.clustered,
            ),
        ),
    output:
        expand("results/{run}/{model}/clusters.json", run=run.name, model=run.clustered),
    log:
        f"logs/{run.name}/clusters.log",
    params:
        run=run.name,
        stage=run.stage("clusters"),
    shell:
        "m3ae clusters --run {params.run} --log {log}"


rule figure7:
    """Figures 7 and 8: what a word looks at in the picture, what a patch looks at in the caption."""
    input:
        encoder=expand(
            "results/{run}/{model}/encoder.safetensors",
            run=run.name,
            model=run.models_of("m3ae")[:1],
        ),
        manifest=f"data/{run.name}/shards/heldout/manifest.json",
        tokens=f"data/{run.name}/tokens/heldout.arrow",
        pointing=expand(
            "results/{run}/{model}/pointing.json",
            run=run.name,
            model=run.models_of("m3ae")[:1] if run.knows_places else [],
        ),
    output:
        figure7=[
            *multiext(f"reports/{run.name}/figure7", ".json", ".csv", ".md"),
            report(
                f"reports/{run.name}/figure7.png",
                caption="../captions/figure7.rst",
                category="The paper's figures",
                labels={"chart": "Figure 7: word to patch"},
            ),
        ],
        figure8=[
            *multiext(f"reports/{run.name}/figure8", ".json", ".csv", ".md"),
            report(
                f"reports/{run.name}/figure8.png",
                caption="../captions/figure8.rst",
                category="The paper's figures",
                labels={"chart": "Figure 8: patch to word"},
            ),
        ],
    log:
        f"logs/{run.name}/figure7.log",
    params:
        run=run.name,
        stage=run.stage("figure7"),
    shell:
        "m3ae figure figure7 figure8 --run {params.run} --log {log}"


rule figure8:
    """Figure 8, which is made with Figure 7."""
    input:
        rules.figure7.output.figure8,


rule figure9:
    """Figure 9: how classes lie in the features of MAE and M3AE."""
    input:
        rules.clusters.output,
    output:
        multiext(f"reports/{run.name}/figure9", ".csv", ".md", ".svg"),
        report(
            f"reports/{run.name}/figure9.png",
            caption="../captions/figure9.rst",
            category="The paper's figures",
            labels={"chart": "Figure 9: classes"},
        ),
    log:
        f"logs/{run.name}/figure9.log",
    params:
        run=run.name,
        stage=run.stage("figure9"),
    shell:
        "m3ae figure figure9 --run {params.run} --log {log}"
