"""From lists on the web to clean shards, tokens and checked evaluation sets."""


rule source:
    """List the pairs (`url<TAB>caption`, or files); `tiny` also makes the pictures and evaluation sets."""
    input:
        original_files(run, "train"),
    output:
        train="data/{run}/source/train.tsv",
        heldout="data/{run}/source/heldout.tsv",
    log:
        "logs/{run}/source.log",
    params:
        stage=run.stage("source"),
    shell:
        "m3ae data source --run {wildcards.run} --only pairs --log {log}"


rule images:
    """List the files of the images without captions."""
    input:
        original_files(run, "images") if run.settings.data.images else [],
        ancient(rules.source.output.train),  # never at the same time: `tiny` replaces the whole folder
    output:
        "data/{run}/source/images.tsv",
    log:
        "logs/{run}/images.log",
    params:
        stage=run.stage("images"),
    shell:
        "m3ae data source --run {wildcards.run} --only images --log {log}"


rule download:
    """Download the images of a list with img2dataset; goes on where it was stopped."""
    input:
        "data/{run}/source/{split}.tsv",
        lambda w: brought_before(run, w.split),
    output:
        "data/{run}/raw/{split}.json",  # the shards beside it are not outputs: they survive a failure
    log:
        "logs/{run}/download-{split}.log",
    retries: 2
    threads: 1  # shards at a time, sixteen connections each: set-threads in the profile
    resources:
        distributor="multiprocessing",  # or ray, pyspark: set-resources in the profile
    params:
        stage=run.stage("download"),
    shell:
        "m3ae data download --run {wildcards.run} --split {wildcards.split}"
        " --processes {threads} --distributor {resources.distributor} --log {log}"


rule clean:
    """Decode, check and deduplicate every sample; write clean shards with a manifest."""
    input:
        needs.of(
            "data/{run}/shards/{split}/manifest.json", "data/{run}/raw/{split}.json"
        ),
    output:
        # The tars beside them are not outputs: the manifest names them, `m3ae data verify` mends them.
        manifest="data/{run}/shards/{split}/manifest.json",
        index="data/{run}/shards/{split}/index.arrow",
        captions="data/{run}/shards/{split}/captions.parquet",
        origins="data/{run}/shards/{split}/origins.parquet",
        origin="data/{run}/shards/{split}/origin.json",
        rejected="data/{run}/shards/{split}/rejected.parquet",
    log:
        "logs/{run}/clean-{split}.log",
    retries: 1  # a killed pass goes on behind its last finished shard
    threads: 1  # decoders at a time: set-threads in the profile
    params:
        stage=run.stage("clean"),
    shell:
        "m3ae data clean --run {wildcards.run} --split {wildcards.split}"
        " --processes {threads} --log {log}"


rule tokens:
    """Train the tokenizer on the training captions and cut every caption into word pieces."""
    input:
        needs.of(
            "data/{run}/tokens/tokenizer.json",
            expand(
                "data/{{run}}/shards/{split}/manifest.json", split=["train", "heldout"]
            ),
        ),
    output:
        tokenizer="data/{run}/tokens/tokenizer.json",
        train="data/{run}/tokens/train.arrow",
        heldout="data/{run}/tokens/heldout.arrow",
        manifest="data/{run}/tokens/manifest.json",
    log:
        "logs/{run}/tokens.log",
    params:
        stage=run.stage("tokens"),
    shell:
        "m3ae data tokens --run {wildcards.run} --log {log}"


rule texts:
    """Cut text without images into passages of word pieces."""
    input:
        needs.of("data/{run}/tokens/texts.arrow", "data/{run}/tokens/tokenizer.json"),
    output:
        passages="data/{run}/tokens/texts.arrow",
        facts="data/{run}/tokens/texts.json",
    log:
        "logs/{run}/texts.log",
    params:
        stage=run.stage("texts"),
    shell:
        "m3ae data texts --run {wildcards.run} --log {log}"


rule evalset:
    """Check an evaluation set against the registry: counts, checksums, labels."""
    output:
        "data/{run}/evalsets/{dataset}.json",
    log:
        "logs/{run}/evalset-{dataset}.log",
    params:
        stage=lambda w: evalset_stage(run, w.dataset),
    shell:
        "m3ae data evalset --run {wildcards.run} --dataset {wildcards.dataset} --log {log}"


rule made_evalsets:
    """The same for the sets that the run makes itself, at once."""
    input:
        needs.of(
            expand("data/{{run}}/evalsets/{dataset}.json", dataset=made_here(run)),
            "data/{run}/source/train.tsv",
        ),
    output:
        expand("data/{{run}}/evalsets/{dataset}.json", dataset=made_here(run) or ["-"]),
    log:
        "logs/{run}/evalsets.log",
    params:
        stages=[evalset_stage(run, name) for name in made_here(run)],
        sets=[f"--dataset {name}" for name in made_here(run)],
    shell:
        "m3ae data evalset --run {wildcards.run} {params.sets} --log {log}"


ruleorder: made_evalsets > evalset
