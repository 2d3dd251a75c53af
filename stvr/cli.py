"""The command line: the menu of commands; a fault of the user's is one line and exit status 2."""

from __future__ import annotations

import sys
from typing import Annotated, Any, NoReturn

import typer

from stvr.commands import (
    bench,
    demo,
    eval,
    export,
    extract,
    finetune,
    import_,
    index,
    info,
    join,
    locate,
    predict,
    prepare,
    repair,
    score,
    search,
    store,
    studio,
    synth,
    train,
    verify,
    watch,
    weights,
)
from stvr.menus import PartFault
from stvr.version import __version__

app = typer.Typer(
    name="stvr", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Where and when does this happen? Ask with an example: find the tubelets that do what a query does.",
)  # fmt: skip


def tell_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def of_all(
    version: Annotated[bool, typer.Option("--version", callback=tell_version, is_eager=True,
                                          help="Print the version.")] = False,
) -> None:  # fmt: skip
    """What stands before any command; the program's help is above."""


app.command()(demo.demo)
app.command()(synth.synth)
app.add_typer(prepare.app, name="prepare")
app.command()(join.join)
app.command()(extract.extract)
app.add_typer(store.app, name="store")
app.command()(train.train)
app.command()(finetune.finetune)
app.command("eval")(eval.evaluate)
app.command()(locate.locate)
app.command()(watch.watch)
app.command()(index.index)
app.command()(search.search)
app.command()(predict.predict)
app.command()(studio.studio)
app.add_typer(score.app, name="score")
app.command()(export.export)
app.command("import")(import_.import_)
app.add_typer(weights.app, name="weights")
app.command()(info.info)
app.command()(verify.verify)
app.command()(repair.repair)
app.command()(bench.bench)

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]  # click's UsageError, which typer does not export
STOPPED = 130  # the status that typer returns after Ctrl-C


def main() -> None:
    """Runs a command; a fault of the user's, or of a head or another part, is one line on standard error, status 2."""
    try:
        status = app(standalone_mode=False, prog_name="stvr")
    except USAGE_ERROR as error:
        fail(usage(error))
    except (ValueError, LookupError, OSError, PartFault) as error:
        fail(error)
    except Exception as error:
        if not type(error).__module__.startswith("obstore"):  # its errors have nothing else in common
            raise
        reason = str(error).strip().split("\n")[0].rstrip(":")
        fail(f"the bucket cannot be read or written: {reason}. Check its name and the environment variables AWS_....")
    if status == STOPPED:
        print("stvr: stopped; start the same command again to go on", file=sys.stderr)
    sys.exit(status)


def fail(error: Exception | str) -> NoReturn:
    """Prints the error in one line and exits with status 2."""
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}"
    if isinstance(error, (FileExistsError, NotADirectoryError)) and error.filename is not None:
        message = f"{error.filename}: a file is where a folder is needed. Give another name."
    print(f"stvr: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(2)


def usage(error: Any) -> str:
    """What is wrong with the flags, in one line."""
    message = str(error.format_message())
    if not message.strip():  # no command was given, and the help has been shown
        sys.exit(2)
    return f"{message.rstrip('.')}. See `{error.ctx.command_path} --help`." if error.ctx else message


if __name__ == "__main__":
    main()
