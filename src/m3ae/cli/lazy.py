"""A group that imports a command's module when the command is used, so that ``--help`` is quick."""

import importlib

import click


class LazyGroup(click.Group):
    """Commands by name: the module of `m3ae.cli` that defines each, and its line in the menu."""

    commands_by_name: dict[str, tuple[str, str]]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the workflow."""
        return list(self.commands_by_name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that defines ``cmd_name``."""
        if cmd_name not in self.commands_by_name:
            return None
        module = importlib.import_module(f"m3ae.cli.{self.commands_by_name[cmd_name][0]}")
        return getattr(module, cmd_name.replace("-", "_"))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.commands_by_name.items()])


def lazy_group(commands: dict[str, tuple[str, str]]) -> type[LazyGroup]:
    """A group of these commands."""
    return type("Group", (LazyGroup,), {"commands_by_name": commands})
