"""The program: its verbs, and how it ends."""

from __future__ import annotations

import os
import sys
import threading
from typing import Annotated, Any, NoReturn

import typer

from footage import __version__
from footage.cli.copies import copies
from footage.cli.display import mute
from footage.cli.evaluate import app as evaluate
from footage.cli.export import export
from footage.cli.index import index
from footage.cli.model_verbs import compare, drop, use
from footage.cli.models import app as models
from footage.cli.search import search
from footage.cli.serve import mcp, serve
from footage.cli.system import doctor, migrate
from footage.cli.videos import ls, rm, show
from footage.errors import FootageError

# Newer versions of typer carry their own click, so that only typer's names lead to the exceptions that are raised.
_UsageError: Any = typer.BadParameter.__mro__[2]


def main() -> None:
    """Run the command line; exit with 0 done, 1 some files failed, 2 the request was wrong, 3 a service is away."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name need not be valid in the terminal's encoding
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    # numpy reads it when it is loaded. Our products are small, and its threads only wait for each other: a search takes
    # 10 ms of processor time with one of them, 25 with two.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        status = app(standalone_mode=False)
        sys.stdout.flush()  # here, where a reader that went away is no accident
    except FootageError as error:
        if os.environ.get("FOOTAGE_DEBUG") == "1":
            raise
        _complain(error.message, error.hint)
        status = error.exit_status
    except _UsageError as error:
        error.show()
        status = error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
        status = 130
    except (BrokenPipeError, SystemExit):  # the reader of our output went away, as `head` does; typer exits then
        mute()
        status = 0
    _leave(status if isinstance(status, int) else 0)


def _leave(status: int) -> NoReturn:
    if threading.active_count() > 1:
        # A decoder that hangs in foreign code would abort the process if the interpreter were taken down around it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _complain(message: str, hint: str) -> None:
    print(f"error: {message}" + (f"\n\nhint: {hint}" if hint else ""), file=sys.stderr)


def _version(show: bool) -> None:
    if show:
        print(f"footage {__version__}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app = typer.Typer(
    name="footage",
    help="Find any moment in your video: index a folder once, then search it by words, a picture or a clip.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich costs a third of the time in which --help must answer
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(_root)
for _verb in (index, search, copies, export, ls, show, rm, migrate, doctor, serve, mcp):  # in the order of --help
    app.command()(_verb)
for _verb in (use, drop, compare):
    models.command()(_verb)
app.add_typer(models, name="models")
app.add_typer(evaluate, name="eval")
