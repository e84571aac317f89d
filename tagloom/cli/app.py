"""The root command: every command's name and purpose; its module is imported when it is used.

So `tagloom --help` and shell completion stay fast, whatever torch or kfp take to import.
"""

from __future__ import annotations

import difflib
import importlib

import click

from tagloom.cli.session import common_options

__all__ = ["main"]

_EXPERIMENTS = "From photos to a generator"
_STEPS = "Step by step"
_RESOURCES = "What there is"
_MACHINE = "This machine"

_COMMANDS: dict[str, tuple[str, str, str]] = {
    "run": ("run", _EXPERIMENTS, "Run an experiment file: the whole path, with a report."),
    "generate": ("generate", _EXPERIMENTS, "Make images with a trained network."),
    "scrape": ("scrape", _STEPS, "Fill a collection with photos."),
    "filter": ("filter", _STEPS, "Judge a collection and write a dataset."),
    "verdicts": ("verdicts", _STEPS, "Tell why each image stayed or went."),
    "tune": ("tune", _STEPS, "Propose thresholds from photos marked keep or reject."),
    "train": ("train", _STEPS, "Train a run on a dataset."),
    "stop": ("train", _STEPS, "Stop a run after saving its state."),
    "resume": ("train", _STEPS, "Continue a run where it stopped."),
    "evaluate": ("evaluate", _STEPS, "Score a run's snapshots, or one folder against another."),
    "dataset": ("dataset", _RESOURCES, "Import and export datasets in StyleGAN's layout."),
    "collection": ("collection", _RESOURCES, "Export a collection's photos."),
    "network": ("network", _RESOURCES, "Import and export networks, official checkpoints too."),
    "ls": ("resources", _RESOURCES, "List resources."),
    "get": ("resources", _RESOURCES, "Show one resource."),
    "rm": ("resources", _RESOURCES, "Remove a resource that nothing refers to."),
    "forget": ("forget", _RESOURCES, "Take an image or a post out of everything, for ever."),
    "operations": ("operations", _RESOURCES, "List, wait for and cancel long work."),
    "up": ("up", _MACHINE, "Serve all installed services."),
    "doctor": ("doctor", _MACHINE, "Tell what is installed, reachable and missing."),
    "version": ("version", _MACHINE, "Print the version."),
}
"""name: (module below tagloom.cli, heading, purpose)"""


class _Root(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"tagloom.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading in (_EXPERIMENTS, _STEPS, _RESOURCES, _MACHINE):
            with formatter.section(heading):
                formatter.write_dl(
                    [(name, text) for name, (_, h, text) in _COMMANDS.items() if h == heading]
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            if near:
                message = f"{error.message.rstrip('.')}; did you mean {near[0]!r}?"
                raise click.UsageError(message, ctx) from error
            raise


@click.command(cls=_Root, context_settings={"help_option_names": ["-h", "--help"]})
@common_options
def main(target: str | None, store: str | None, as_json: bool) -> None:
    """Tagloom turns a folder of photos, or a hashtag, into an image generator of that subject.

    \b
    Commands talk to the services at --target (or TAGLOOM_TARGET). Without it they start the
    services inside their own process, on the store --store (or TAGLOOM_STORE).
    """
