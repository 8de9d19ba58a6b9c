"""The paper as a workflow: `snakemake --list-rules` is the menu, `snakemake all` makes everything.

Which run: --config run=tiny (default), photos or paper, or any other file of config/.
Where original data sets lie: --config data_root=FOLDER, or the environment variable M3AE_DATA_ROOT.
"""

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from m3ae.artifacts.needs import Needs
from m3ae.artifacts.recognise import recognise
from m3ae.cli.warm.start import start_warm
from m3ae.config import load_run
from m3ae.config.datasets import evalset_stage
from m3ae.config.environment import prepare_jobs
from m3ae.config.inputs import image_files, made_here
from m3ae.config.sources import brought_before, original_files, splits_of
from m3ae.errors import UserError

min_version("9.27")

unknown = sorted(set(config) - {"run", "data_root"})
if unknown:
    raise WorkflowError(
        f"--config: expected run, data_root; got {unknown}. Settings are in config/"
    )
try:
    run = load_run(config.get("run", "tiny"))
    if workflow.is_main_process:  # not inside a cluster's job
        recognise(run)  # what `dvc pull` brought counts as made
    needs = Needs(workflow, run)  # and does not ask for what it was made from
except UserError as error:
    raise WorkflowError(str(error)) from None
prepare_jobs(config.get("data_root"))
# The images of evaluation sets that are made here come with this list. Its time says nothing: listings do.
images = lambda _: map(ancient, image_files(run))


report: "workflow/captions/workflow.rst"


wildcard_constraints:
    run=run.name,
    split="|".join(splits_of(run)),
    model="|".join(run.models),
    dataset="|".join(run.eval_datasets),


include: "workflow/rules/data.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/extended.smk"
include: "workflow/rules/pictures.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/check.smk"


onstart:
    if workflow.local_exec:  # a cluster's jobs start on other machines
        start_warm(sum(1 for _ in workflow.dag.needrun_jobs()))


rule all:
    """Everything of this run: every figure, every table, the report."""
    default_target: True
    input:
        rules.figure2.output,
        rules.figure3.output,
        rules.figure4.output,
        rules.figure5.output,
        rules.figure6.output,
        rules.figure7.output,
        rules.figure9.output,
        rules.curves.output,
        rules.compute.output,
        [
            rules.probes.output,
            rules.detection.output,
            rules.shift.output,
            rules.robustness.output,
        ]
        if run.headline
        else [],
        rules.captions.output if run.readers else [],
        rules.report.output,
