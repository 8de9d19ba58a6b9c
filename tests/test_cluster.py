"""The workflow on a cluster: its plan, and what the executor hands to SLURM, which is a fake."""

import json
import re
import socket
from contextlib import chdir
from pathlib import Path

import pytest
import yaml

from fake_slurm import FakeSlurm
from forked import snakemake
from m3ae.config import load_run
from m3ae.records import Record
from small_project import CHECKOUT, make_config
from test_workflow import copy_project

RECORD = "results/micro/m3ae-b100/pretrain.json"
OUTPUTS = " ".join(
    f"results/micro/m3ae-b100/{name}" for name in ("encoder.safetensors", "steps.jsonl", "pretrain.json")
)
MAKE_OUTPUTS = f"mkdir -p results/micro/m3ae-b100 && touch {OUTPUTS} && cp made.json {RECORD}"
AT_ONCE = ["--slurm-init-seconds-before-status-checks=1", "--seconds-between-status-checks=1"]
TWO_NODES = {
    "gpu": 16,
    "nodes": 2,
    "tasks": 2,
    "mpi": "srun",
    "tasks_per_gpu": 0,
    "slurm_extra": "--signal=TERM@600 --gpus-per-node=8",
    "restarts": 1,
}


def make_project(folder):
    """A project in which the inputs of pre-training lie, and say nothing."""
    folder.mkdir()
    copy_project(folder)
    make_config(folder)
    with chdir(folder):
        run = load_run("micro")
        manifest = {"settings": run.stage("clean")}
        settings = run.stage("pretrain", "m3ae-b100")
        made = Record(
            run="micro", model="m3ae-b100", stage="pretrain", settings=settings, inputs={}, seeds=[42]
        )
        made.write(Path("made.json"))
    for name in ("shards/train/manifest.json", "tokens/train.arrow"):
        (folder / "data/micro" / name).parent.mkdir(parents=True)
        (folder / "data/micro" / name).write_text(json.dumps(manifest))
    return folder


def change_profile(folder, **resources):
    """The profile with other resources of pre-training, as a user edits it."""
    path = folder / "profiles/slurm/config.yaml"
    profile = yaml.safe_load(path.read_text())
    pretrain = profile["set-resources"]["pretrain"] | resources
    profile["set-resources"]["pretrain"] = {
        name: value for name, value in pretrain.items() if value is not None
    }
    profile["latency-wait"] = 1
    path.write_text(yaml.safe_dump(profile))


def submit(folder, slurm, **environment):
    arguments = [RECORD, "--config", "run=micro", "--workflow-profile", "profiles/slurm", *AT_ONCE]
    return snakemake(folder, *arguments, env=slurm.environment(**environment))


def documented_plan():
    """The arguments of the guide's dry run, with the profile that it copies."""
    guide = (CHECKOUT / "docs/cluster.md").read_text()
    (line,) = re.findall(r"^snakemake (-n .*?) +#", guide, re.M)
    return line.replace("profiles/mine", "profiles/slurm").split()


def test_the_whole_paper_can_be_planned_for_the_cluster_as_the_guide_says(tmp_path):
    copy_project(tmp_path)
    code, text = snakemake(tmp_path, *documented_plan())
    assert code == 0, text
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", text, re.M))
    assert {rule: jobs[rule] for rule in ("pretrain", "given_encoder", "features", "clean")} == {
        "pretrain": "19",
        "given_encoder": "2",  # DeiT-B's weights, and no training at all
        "features": "17",  # and four with their layers
        "clean": "2",
    }
    resources = dict(re.findall(r"^rule (\w+):.*?^ +resources: ([^\n]*)", text, re.M | re.S))
    assert {rule for rule, has in resources.items() if "gpu=" in has} == {
        "pretrain", "features", "features_and_layers", "probe", "more_probes", "all_scores", "changed_images",
        "attacks",
    }  # fmt: skip
    for model in ("supervised-b", "untrained-b"):
        assert f"Shell command: m3ae pretrain --run paper --model {model} --workers 0 " in text
    line = re.search(r"Shell command: (.* pretrain --run paper --model m3ae-b100 .*)", text)[1]
    assert line.startswith("exec torchrun --standalone --nproc-per-node=8 ")
    assert " --no-python -- m3ae pretrain --run paper --model m3ae-b100 --workers 7 --log " in line


def test_both_profiles_plan_the_same_work():
    default, slurm = (
        yaml.safe_load((CHECKOUT / f"profiles/{name}/config.yaml").read_text())
        for name in ("default", "slurm")
    )
    assert default["rerun-triggers"] == slurm["rerun-triggers"]
    assert not {"config", "configfile", "set-scatter"} & set(slurm)


def test_a_training_on_one_node_is_one_job_that_starts_once(tmp_path):
    project, slurm = make_project(tmp_path / "project"), FakeSlurm(tmp_path / "bin")
    code, text = submit(project, slurm, FAKE_JOB=MAKE_OUTPUTS)
    assert code == 0, text
    line = slurm.line("sbatch")
    for wanted in (
        " --gpus=8 ",
        " --nodes=1 ",
        " --cpus-per-task=64 ",
        " --mem 400000 ",
        " -t 1440 ",
        " --signal=TERM@600 ",
        " --requeue ",
    ):
        assert wanted in line
    assert "--ntasks" not in line.split("--wrap")[0]


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory):
    """A project that trained on two nodes: the step of the first job failed, that of the second did not."""
    folder = tmp_path_factory.mktemp("cluster")
    project, slurm = make_project(folder / "project"), FakeSlurm(folder / "bin")
    change_profile(project, **TWO_NODES)
    step = f"echo >> steps; [ $(wc -l < steps) = 2 ] && {MAKE_OUTPUTS}"
    code, text = submit(project, slurm, FAKE_STEP=step)
    assert code == 0, text
    return project, slurm


@pytest.mark.slow
def test_a_failed_training_is_submitted_again_and_not_started_again_inside_its_job(two_nodes):
    _, slurm = two_nodes
    assert len(slurm.calls("sbatch")) == len(slurm.calls("srun")) == 2


@pytest.mark.slow
def test_a_job_on_two_nodes_asks_for_one_task_on_each(two_nodes):
    _, slurm = two_nodes
    for job in slurm.calls("sbatch"):
        for wanted in ("--nodes=2", "--ntasks=2", "--gpus=16", "--gpus-per-node=8", "--cpus-per-task=64"):
            assert wanted in job.words
        assert not [word for word in job.words if word.startswith("--ntasks-per-gpu")]


@pytest.mark.slow
def test_its_only_step_is_our_line_with_everything_said_anew(two_nodes):
    _, slurm = two_nodes
    for number, step in enumerate(slurm.calls("srun"), start=700001):
        assert step.variables == ["SLURM_JOB_ID"]  # the executor took the others away
        assert step.words[:3] == ["--nodes=2", "--ntasks=2", "--ntasks-per-node=1"]
        assert f"--rdzv-endpoint={socket.gethostname()}:{10_000 + number % 20_000}" in step.words
        assert f"--rdzv-id={number}" in step.words
        command = step.words[step.words.index("--no-python") + 2 :]
        assert command[:6] == ["m3ae", "pretrain", "--run", "micro", "--model", "m3ae-b100"]


def plan(folder):
    """What a dry run on the cluster says about pre-training."""
    arguments = ["-n", RECORD, "--config", "run=micro", "--workflow-profile", "profiles/slurm"]
    return snakemake(folder, *arguments)[1]


@pytest.mark.slow
def test_another_machine_plans_nothing_and_another_setting_plans_the_training(two_nodes):
    project, _ = two_nodes
    machine = {"gpu": 4, "nodes": 1, "mpi": None, "tasks": None, "device_batch": 4, "parallel": "fsdp"}
    change_profile(project, **machine)
    assert "Nothing to be done" in plan(project)
    make_config(project, seed=7)
    assert "Params have changed since last execution" in plan(project)


@pytest.mark.slow
def test_two_nodes_without_what_they_need_are_one_clear_line(two_nodes):
    project, _ = two_nodes
    change_profile(project, gpu=16, nodes=2, mpi=None)
    assert "UserError: pretrain: nodes=2 needs mpi=srun, tasks=2 and tasks_per_gpu=0 beside it" in plan(
        project
    )
