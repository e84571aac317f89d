"""`tagloom version`."""

from __future__ import annotations

import importlib.metadata
import platform

import click

from tagloom.cli.session import Session, command_options

__all__ = ["version_command"]


@click.command("version")
@command_options
def version_command(session: Session) -> None:
    """Print the version of Tagloom and of Python."""
    version = importlib.metadata.version("tagloom")
    document = {"tagloom": version, "python": platform.python_version()}
    session.answer(document, f"tagloom {version} (Python {platform.python_version()})")
