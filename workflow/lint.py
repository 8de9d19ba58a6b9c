"""`snakemake --lint` without its one finding that is our decision: rules share one locked environment.

Exits with 1 on any other finding.
"""

import subprocess
import sys

OURS = "Specify a conda environment or container for each rule."


def findings() -> list[str]:
    """The linter's findings with the place of each, less what we decided otherwise."""
    command = [sys.executable, "-m", "snakemake", "--lint", "text"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    found, place = [], "workflow"
    for line in (result.stdout + result.stderr).splitlines():
        if line.startswith("Lints for "):
            place = line.removeprefix("Lints for ").rstrip(":")
        elif line.startswith("    * "):
            found.append(f"{place}: {line.removeprefix('    * ')}")
    if result.returncode and not found:
        return [result.stderr]  # it did not get as far as linting
    return [finding for finding in found if OURS not in finding]


if __name__ == "__main__":
    found = findings()
    print("\n".join(found) or "snakemake --lint: nothing found")
    sys.exit(bool(found))
