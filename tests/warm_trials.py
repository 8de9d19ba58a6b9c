"""A warm server whose commands show how they were started: ``python warm_trials.py ADDRESS``."""

import json
import os
import signal
import sys
import time

import torch

from m3ae.cli.warm import __main__ as warm


def show():
    facts = {
        "words": sys.argv,
        "folder": os.getcwd(),
        "threads": torch.get_num_threads(),
        "umask": os.umask(0),
        "trial": os.environ.get("TRIAL"),
        "input": sys.stdin.readline(),
    }
    print(json.dumps(facts))
    print("to the other stream", file=sys.stderr)


def wait():
    try:
        print(os.getpid(), flush=True)  # from here on signals come
        time.sleep(60)
    finally:
        print("stopped", flush=True)


def trial():
    """In place of the project's commands."""
    signal.signal(signal.SIGUSR1, lambda *_: os._exit(75))
    return {
        "show": show,
        "wait": wait,
        "fail": lambda: 3,
        "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    }[sys.argv[1]]()


if __name__ == "__main__":
    warm.IMPORTED = ("torch",)
    if sys.argv[2:] != ["commands"]:
        warm.run_command = lambda: trial() or 0
    warm.main()
