"""Draw docs/workflow.svg: the rules of run tiny, and what needs what. With --check: compare, draw nothing.

The drawing holds its graph as data, so that a check needs no layout: it exits with 1 if the file lacks a
rule or a dependency, or has one too many.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from picture import drawing, drawn_graph

FILE = Path("docs/workflow.svg")
RULE = re.compile(r"^(?:rule|use rule \w+ as) (\w+)", re.MULTILINE)


def read_graph() -> dict[str, Any]:
    """The rules by name with the file of each, and the pairs (needed, needs), of every target of run tiny."""
    targets = [line.split()[0] for line in snakemake("--list-target-rules") if line.strip()]
    lines = "\n".join(snakemake("--rulegraph", "dot", "--forceall", *targets))
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', lines, re.MULTILINE))
    files = files_of_rules()
    edges = {(names[start], names[end]) for start, end in re.findall(r"(\d+) -> (\d+)", lines)}
    return {
        "rules": {name: files.get(name, "Snakefile") for name in sorted(set(names.values()))},
        "edges": sorted(map(list, edges)),
    }


def snakemake(*arguments: str) -> list[str]:
    """The lines that Snakemake prints for run tiny. Raises SystemExit with its words if it fails."""
    command = [sys.executable, "-m", "snakemake", *of_tiny(*arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"snakemake {' '.join(arguments)} failed:\n{result.stderr}")
    return result.stdout.splitlines()


def of_tiny(*arguments: str) -> list[str]:
    """The arguments and the run: `--config` takes all words behind it, so targets come last."""
    run = ["--config", "run=tiny"]
    return [*run, *arguments] if arguments[0] == "--rulegraph" else [*arguments, *run]


def files_of_rules() -> dict[str, str]:
    """The file of workflow/rules, without its ending, that states a rule."""
    files = sorted(Path("workflow/rules").glob("*.smk"))
    return {name: path.stem for path in files for name in RULE.findall(path.read_text())}


def differences(drawn: dict[str, Any], graph: dict[str, Any]) -> list[str]:
    """What a drawing lacks, and what it has too much, a line for each."""
    lines = []
    for kind in ("rules", "edges"):
        old, new = ({str(one) for one in found.get(kind, [])} for found in (drawn, graph))
        lines += [f"{FILE} lacks {kind[:-1]} {one}" for one in sorted(new - old)]
        lines += [f"{FILE} has {kind[:-1]} {one}, the workflow has not" for one in sorted(old - new)]
    return lines


if __name__ == "__main__":
    graph = read_graph()
    if "--check" in sys.argv[1:]:
        found = differences(drawn_graph(FILE), graph)
        print("\n".join(found) or f"{FILE}: as the workflow is")
        sys.exit("draw it anew: python workflow/graph.py" if found else 0)
    FILE.write_text(drawing(graph))
    print(f"{FILE}: {len(graph['rules'])} rules")
