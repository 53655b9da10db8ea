"""``napari-sam2``: opens napari, or runs one of its subcommands."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from napari_sam2.core.errors import NapariSam2Error

COMMANDS = ("demo", "run", "batch", "evaluate", "models", "cache", "train", "info", "bench")
"""Subcommands in the order of ``--help``: each is the `app` of the module of that name beside this one.

The modules import nothing heavy at their top, so that help stays fast and works where torch does not.
"""

WRONG_INPUT, INTERRUPTED = 2, 130
"""Exit codes."""


class _Commands(typer.core.TyperGroup):
    """Finds subcommands in `COMMANDS` and imports only the one that is asked for."""

    def list_commands(self, ctx: typer.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(import_module(f"napari_sam2.cli.{cmd_name}").app)
        command.name = cmd_name
        return command


app = typer.Typer(cls=_Commands, add_completion=False, rich_markup_mode=None)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from napari_sam2 import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _napari_sam2(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Click an object in a stack, propagate, get labels.

    Without a command, napari opens with the dock "SAM 2".
    """
    if ctx.invoked_subcommand is None:
        _open_napari()


def _open_napari() -> None:
    # Before Qt: on Windows, torch may fail to load in a process that has Qt already.
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:
        raise NapariSam2Error(
            f"torch cannot be loaded: {error}",
            remedy="see what 'napari-sam2 info' says, and install torch again",
        ) from error

    from napari_sam2.plugin import launch

    launch.main()


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; wrong input gets one line on stderr."""
    command = typer.main.get_command(app)
    try:
        result = command.main(arguments, prog_name="napari-sam2", standalone_mode=False)
    except NapariSam2Error as error:
        return _fail(str(error), WRONG_INPUT)
    except typer.TyperException as error:  # a usage error
        context = getattr(error, "ctx", None)
        hint = f"; see '{context.command_path} --help'" if context else ""
        return _fail(f"{error.format_message().rstrip('.')}{hint}", WRONG_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", INTERRUPTED)
    if result == INTERRUPTED:
        return _fail("interrupted", INTERRUPTED)
    return result if isinstance(result, int) else 0


def _fail(message: str, code: int) -> int:
    print(f"napari-sam2: {' '.join(message.split())}", file=sys.stderr)
    return code


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())
