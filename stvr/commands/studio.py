"""stvr studio: a page in the browser to box what happens and find where else it does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import Device, Weights, usable, video_files


def studio(
    library: Annotated[
        Path, typer.Argument(help="An index of `stvr index`, or a folder of videos.", show_default=False)
    ],
    host: Annotated[
        str, typer.Option(help="The address to listen on; beyond this machine only with --token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8321,
    token: Annotated[str | None, typer.Option(help="What a browser must know.", show_default=False)] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="A trained head, or a run's folder; without it the head that needs no training.",
                                 show_default=False)
    ] = None,
    store: Annotated[str | None, typer.Option(help="Of a folder: where its features are, if anywhere.")] = None,
    statistics: Annotated[
        str | None, typer.Option(help="Without --checkpoint: the store that says what is usual; else what ships.")
    ] = None,
    weights: Weights = None,
    most_upload: Annotated[int, typer.Option("--most-upload", min=1, help="Megabytes of an uploaded video.")] = 1024,
    device: Device = "cpu",
) -> None:
    """Open a video, draw a box, see where else it happens. A page for a browser, on this machine alone."""
    try:
        from stvr.studio.serving import open_folder, open_index, served
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("fastapi", "uvicorn", "starlette"):
            raise
        raise ValueError("the studio needs fastapi and uvicorn. Run `pip install 'stvr[studio]'`.") from None
    from stvr.library.index import is_index
    from stvr.session import Session

    if is_index(library):
        if store is not None or statistics is not None:
            raise ValueError("an index has a store and statistics of its own. Leave --store and --statistics out.")
        shelf = open_index(library, checkpoint, weights, usable(device))
    else:
        videos = video_files([library])
        session = Session.open(checkpoint, weights=weights, store=store, statistics=statistics, device=usable(device))
        shelf = open_folder(library, videos, session, lambda line: print(f"stvr: {line}", file=sys.stderr))
    with served(shelf, host, port, token, most_upload << 20) as (server, address, listening):
        print(f"{address} is the studio; Ctrl-C ends it", flush=True)
        server.run(sockets=[listening])
