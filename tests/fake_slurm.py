"""A SLURM that notes how its commands are called, and runs on this machine what they are given.

`sbatch` runs the job's script at once; `srun` runs its command once, whatever it is asked for. Environment:
FAKE_JOB replaces a job's script, FAKE_STEP the command of a step that trains; both are shell lines.
"""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

COMMANDS = ("sbatch", "srun", "sacct", "sacctmgr", "scontrol", "sinfo", "squeue", "scancel")
TOOL = """#!{python} -S
import json, os, subprocess, sys
folder, name = os.path.split(os.path.abspath(sys.argv[0]))
words = sys.argv[1:]
with open(folder + "/calls.jsonl", "a") as file:
    file.write(json.dumps([name, words, [key for key in os.environ if key.startswith("SLURM_")]]) + "\\n")

def sbatch():
    with open(folder + "/calls.jsonl") as file:
        number = 700000 + sum(line.startswith('["sbatch"') for line in file)
    script = next(word.split("=", 1)[1] for word in words if word.startswith("--wrap="))
    # What sbatch gives to a job's script, and what must not reach a step of ours
    env = dict(os.environ, SLURM_JOB_ID=str(number), SLURM_NTASKS="99", SLURM_GPUS="99")
    with open(words[words.index("--output") + 1].replace("%j", str(number)), "w") as log:
        job = os.environ.get("FAKE_JOB", script)
        code = subprocess.call(["sh", "-c", job], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    with open(folder + "/states", "a") as file:
        file.write(f"{{number}}|{{'FAILED' if code else 'COMPLETED'}}\\n")
    print(number)

def srun():
    if "FAKE_STEP" in os.environ and "torchrun" in words:
        sys.exit(subprocess.call(["bash", "-c", os.environ["FAKE_STEP"]]))
    command = next(place for place, word in enumerate(words) if not word.startswith("-"))
    sys.exit(subprocess.call(words[command:]))

if name in ("sbatch", "srun"):
    globals()[name]()
elif name == "sacct" and "--parsable2" in words:
    print(open(folder + "/states").read())
elif name == "sacctmgr":
    print("lab")
elif name == "scontrol":
    print("MinJobAge = 300 sec")
"""


class Call(NamedTuple):
    """How a command was called."""

    name: str
    words: list[str]
    variables: list[str]
    """SLURM's own in its environment."""


class FakeSlurm:
    """The commands in a folder, to be put first on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in COMMANDS:
            (folder / name).write_text(TOOL.format(python=sys.executable))
            (folder / name).chmod(0o755)

    def environment(self, **more: str) -> dict[str, str]:
        """The environment in which the cluster is at hand."""
        return {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", **more}

    def calls(self, name: str) -> list[Call]:
        """All calls of a command, in order."""
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        return [call for call in (Call(*json.loads(line)) for line in lines) if call.name == name]

    def line(self, name: str) -> str:
        """The words of the only call of a command."""
        (call,) = self.calls(name)
        return shlex.join(call.words)
