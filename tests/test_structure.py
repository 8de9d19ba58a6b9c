"""The architecture that the folders promise: imports point one way, and the light parts stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from small_project import CHECKOUT

LAYERS = {
    "errors": set(),
    "files": {"errors"},
    "records": {"errors", "files"},
    "packing": {"errors", "files"},
    "config": {"errors"},
    "data": {"errors", "files", "records", "config", "torchvision_ops"},
    "model": {"errors", "files", "packing"},
    "train": {"errors", "files", "records", "config", "data", "model", "torchvision_ops"},
    "evaluate": {"errors", "files", "packing", "records", "config", "data", "model", "torchvision_ops"},
    "report": {"errors", "files", "records", "config", "data", "train", "evaluate"},
    "provenance": {"errors", "files", "records", "config"},
    "artifacts": {"errors", "files", "packing", "records", "config", "data"},
    "torchvision_ops": set(),
    "pretrained": {"errors", "files", "packing", "records", "config", "data", "model", "torchvision_ops"},
    "cli": {
        "errors",
        "files",
        "records",
        "config",
        "data",
        "model",
        "train",
        "evaluate",
        "report",
        "provenance",
        "artifacts",
        "pretrained",
    },
}
SOURCE = CHECKOUT / "src/m3ae"
FILES = sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE or path.stem in LAYERS)


def imports(path):
    """The parts of m3ae that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module != "m3ae" else [f"m3ae.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("m3ae."):
                yield name.split(".")[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path):
    part = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    assert set(imports(path)) <= LAYERS[part] | {part}


def loaded_by(statement):
    code = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_the_command_line_and_the_workflow_import_nothing_heavy():
    modules = loaded_by(
        "from m3ae.cli.main import COMMANDS, main; [main.get_command(None, c) for c in COMMANDS]"
    )
    modules |= loaded_by("import m3ae.config, m3ae.config.datasets, m3ae.config.environment")
    modules |= loaded_by("import m3ae.artifacts.jobs, m3ae.artifacts.recognise, m3ae.artifacts.needs")
    assert not modules & {"torch", "numpy", "pandas", "transformers", "img2dataset", "sklearn", "matplotlib"}


def test_the_model_needs_torch_alone():
    modules = loaded_by("import m3ae.model.m3ae, m3ae.model.weights")
    assert not modules & {"torchvision", "timm", "transformers", "pandas", "pydantic", "m3ae.config"}


def test_reports_are_made_without_torch():
    modules = loaded_by(
        "import m3ae.report.figure3, m3ae.report.figure6, m3ae.report.tables, m3ae.report.render"
    )
    assert not modules & {"torch", "sklearn"}


def test_reading_an_encoder_probing_and_training_import_no_compiler():
    """torch._dynamo and sympy come with the first draw on "meta" and the first torch optimiser: 2 seconds."""
    modules = loaded_by(
        "import torch; from m3ae.model.m3ae import M3AE; from m3ae.model.architecture import Architecture; "
        "from m3ae.evaluate.lars import Lars\n"
        "with torch.device('meta'): M3AE(Architecture(32, 1, 2, image_px=32))\n"
        "weights = torch.ones(3, requires_grad=True); lars = Lars([weights], 0.1); lars.zero_grad()\n"
        "weights.sum().backward(); lars.step()\n"
        "from m3ae.train.loop import pretrain; from m3ae.train.optimizer import EagerAdamW\n"
        "adamw = EagerAdamW([weights], fused=True); adamw.zero_grad(); weights.sum().backward()\n"
        "adamw.step(); adamw.load_state_dict(adamw.state_dict())"
    )
    assert not modules & {"torch._dynamo", "sympy"}


def calls_in(path):
    """Every call in a file, as its dotted name and its keywords."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            yield ast.unparse(node.func), keywords


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_that_executes_a_file_is_called(path):
    """No unpickler in the code base; torch reads weights alone; no shell, no unsafe YAML."""
    text = path.read_text()
    for forbidden in (
        "import pickle\n",
        "import pickle,",
        "from pickle",
        "cloudpickle as",
        "joblib",
        "pickle.load",
        "Unpickler(",
    ):
        assert forbidden not in text
    for name, keywords in calls_in(path):
        if name == "torch.load":
            assert keywords.get("weights_only") == "True"
        assert name not in ("eval", "exec", "yaml.load", "torch.hub.load", "__import__")
        assert keywords.get("allow_pickle") in (None, "False")
        assert keywords.get("shell") in (None, "False")


def names_of(module):
    """What a module of ours has at its top level, by reading it."""
    path = SOURCE.parent / Path(*module.split("."))
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (
                name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)
            )
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
    if path.is_dir():
        yield from (child.stem for child in path.iterdir())


@pytest.mark.parametrize("path", sorted((CHECKOUT / "benchmarks").glob("*.py")), ids=lambda path: path.name)
def test_benchmarks_import_what_there_is(path):
    """They run seldom, so that nothing else notices a name that has moved."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "m3ae":
            missing = {alias.name for alias in node.names} - set(names_of(node.module))
            assert not missing, f"{node.module}: {missing}"


@pytest.mark.parametrize("path", sorted((SOURCE / "evaluate").rglob("*.py")), ids=lambda path: path.name)
def test_no_stage_reads_an_encoder_without_its_hash(path):
    """An encoder that was swapped would be measured under the hash of another."""
    called = {name for name, _ in calls_in(path)}
    assert not called & {"load_encoder", "load_clip", "load_whole"} or "checked_weights" in called


@pytest.mark.parametrize("path", ["build/lib/m3ae/x.py", "dist/m3ae-1.whl", "src/m3ae.egg-info/PKG-INFO"])
def test_what_a_packager_builds_is_not_seen_by_git(path):
    assert subprocess.run(["git", "check-ignore", "-q", path], cwd=CHECKOUT, check=False).returncode == 0
