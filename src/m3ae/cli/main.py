"""``m3ae``: one command per stage of the workflow. Importing this file imports no torch."""

import importlib

import click

import m3ae

# command -> module of m3ae.cli that defines it; loaded when it is used, so that --help is quick
COMMANDS = {
    "config": ("config", "Show, check and compare run configurations."),
    "sizes": ("sizes", "Parameters and FLOPs of every size of a run."),
    "data": ("data", "Lists, downloads, clean shards, tokens, evaluation sets."),
    "pretrain": ("pretrain", "Train one encoder (goes on from its last checkpoint)."),
    "heldout": ("evaluate", "Errors on hidden patches and words of held-out pairs."),
    "features": ("evaluate", "Pass every evaluation set through a frozen encoder, once."),
    "probe": ("evaluate", "Linear probes on stored features."),
    "ood": ("evaluate", "Out-of-distribution scores on stored features."),
    "weights": ("weights", "Show, convert and export weights: ours, the authors', Facebook's MAE."),
    "figure": ("report", "Make a figure's table and chart from records."),
    "report": ("report", "Render the run's HTML report."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the workflow."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that defines ``cmd_name``."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"m3ae.cli.{COMMANDS[cmd_name][0]}")
        return getattr(module, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(m3ae.__version__, prog_name="m3ae")
def main() -> None:
    """An open, end-to-end reproduction of M3AE (arXiv 2205.14204).

    The workflow calls these commands; `snakemake --list-rules` is the menu of targets.
    """
