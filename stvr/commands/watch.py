"""stvr watch: what queries show, told while a source is read."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from stvr.commands import Device, FlowWeights, Weights, seconds_pair, usable
from stvr.commands.example_options import BOX_HELP, box_or_track

if TYPE_CHECKING:
    from stvr.jobs.watch import Watch
    from stvr.jobs.webhook import Webhook
    from stvr.session import Session
    from stvr.structures import Query

POSTED = ("open", "close", "drop")  # to a webhook: an alarm needs no word every second


def watch(
    source: Annotated[
        str | None,
        typer.Argument(help="A video file, - for standard input, a pipe, http(s):// or rtsp://.", show_default=False),
    ] = None,
    query: Annotated[Path | None, typer.Option(help="The video that shows it.", show_default=False)] = None,
    box: Annotated[str | None, typer.Option(help=BOX_HELP)] = None,
    at: Annotated[float | None, typer.Option(help="When, in seconds.")] = None,
    span: Annotated[
        str | None, typer.Option(help="START,STOP of the query in seconds; a second around --at if not given.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the query to this file, NAME.safetensors; SOURCE may be left out then.")
    ] = None,
    saved: Annotated[
        list[Path] | None, typer.Option(help="Ask a saved query too, or all in a folder; may be given several times.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Events are added to this file; else standard output.")] = None,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Tubelets below it are kept silent.")] = 0.0,
    cool_down: Annotated[
        float, typer.Option(min=0, help="Seconds after a tubelet opened in which no other of the query does.")
    ] = 0.0,
    every: Annotated[float, typer.Option(min=0, help="Seconds between two words of a tubelet that goes on.")] = 1.0,
    longest: Annotated[float, typer.Option(min=1, help="Seconds after which a tubelet closes and may begin anew.")]
    = 600.0,
    webhook: Annotated[str | None, typer.Option(help="POST what opens and closes to this address, as JSON.")] = None,
    alarms: Annotated[
        Path | None, typer.Option(help="Keep here how each tubelet looked that opened, for --never.")
    ] = None,
    never: Annotated[
        list[str] | None, typer.Option(help="The id of a false alarm in --alarms: what looks more like it than like "
                                            "the query is kept silent.")
    ] = None,
    never_like: Annotated[
        list[Path] | None, typer.Option(help="The same for a saved query, or all in a folder, of false alarms.")
    ] = None,
    give_up: Annotated[
        float, typer.Option(min=0, help="Seconds without a picture after which an address is not tried again.")
    ] = 300.0,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="A trained head, or a run's folder; without it the head that needs no training.",
                     show_default=False),
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="Without --checkpoint: see the source as the features of this store were made.")
    ] = None,
    statistics: Annotated[
        str | None, typer.Option(help="Without --checkpoint: the store that says what is usual; else what ships.")
    ] = None,
    weights: Weights = None,
    flow_weights: FlowWeights = None,
    device: Device = "cpu",
) -> None:
    """Tell what happens while it happens: JSON Lines of tubelets that open, extend and close.

    A network source that stops is opened again. What is told comes as late as the head and the context need; how late
    is said at the start.
    """
    from stvr.jobs.alarms import Rules
    from stvr.jobs.known_alarms import named_alarms
    from stvr.jobs.watch import Watch, WatchOptions, what_it_costs
    from stvr.jobs.webhook import Webhook
    from stvr.session import Session
    from stvr.session.saved import read_query, saved_queries
    from stvr.video.live import is_live, said

    if source is None and save is None:
        raise ValueError("there is nothing to watch. Name a SOURCE: a file, - for standard input, or an address.")
    if (query is None) != (box is None) or (query is None) != (at is None):
        raise ValueError("a query is a video, a box in it and a time. Give --query, --box and --at together.")
    if query is None and (save is not None or not saved):
        raise ValueError("there is nothing to look for. Give --query, --box and --at, or --saved FILE.")
    if source is not None and not is_live(source) and not Path(source).is_file():
        why = "is a folder" if Path(source).exists() else "does not exist"
        raise FileNotFoundError(f"{source} {why}. Name a video file, a pipe, - for standard input, or an address.")
    posting = None if webhook is None else Webhook(webhook)
    session = Session.open(
        checkpoint, weights=weights, flow_weights=flow_weights, store=store, statistics=statistics,
        device=usable(device), kept_bytes=0,
    )  # fmt: skip
    queries = {name: read_query(path, session) for name, path in saved_queries(saved or ()).items()}
    if query is not None:
        assert box is not None
        assert at is not None
        asked = session.query(query, box_or_track(box, "--box"), at, seconds_pair(span))
        queries |= {free_name(query if save is None else save, queries): asked}
        if save is not None:
            save_query(save, session, asked, query)
    if source is None:
        return
    falses = [read_query(path, session) for path in saved_queries(never_like or ()).values()]
    falses += named_alarms(alarms, never or (), session)
    options = WatchOptions(Rules(min_score, cool_down, every), falses, longest, alarms, give_up)
    watching = Watch(session, queries, source, options, tell)
    tell(f"watching {said(source)} for {', '.join(queries)}")
    if is_live(source):
        tell(what_it_costs(session))
    try:
        write_events(watching, out, posting)
    finally:
        tell_end(watching, posting)
    if watching.gave_up:
        sys.exit(1)


def free_name(path: Path, taken: dict[str, Query]) -> str:
    if path.stem in taken:
        raise ValueError(f"a saved query is called {path.stem!r} too. Save this one under another name with --save.")
    return path.stem


def save_query(path: Path, session: Session, query: Query, video: Path) -> None:
    from stvr.session.saved import SUFFIX, write_query

    if path.suffix != SUFFIX:
        raise ValueError(f"a saved query is a file NAME{SUFFIX}, not {path}. Give such a name to --save.")
    write_query(path, session, query, {"video": str(video)})
    tell(f"saved {path}")


def write_events(watching: Watch, out: Path | None, posting: Webhook | None) -> None:
    """A line each, at once."""
    with ExitStack() as stack:
        file: TextIO = sys.stdout
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(out.open("a", encoding="utf-8"))
        for event in watching.events():
            try:
                print(json.dumps(event), file=file, flush=True)
            except BrokenPipeError:  # who reads has read enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where Python's last flush may go
                return
            if posting is not None and event["event"] in POSTED:
                posting.send(event)


def tell_end(watching: Watch, posting: Webhook | None) -> None:
    """What was told, and what was not, by why."""
    for name, silent in watching.silent.items():
        parts = {"below --min-score": silent.weak, "within --cool-down": silent.cool_down,
                 "like a false alarm": silent.never}  # fmt: skip
        kept = [f"{number} {why}" for why, number in parts.items() if number]
        if kept:
            tell(f"kept silent of {name}: {', '.join(kept)}")
    tell(f"{watching.closed} tubelet{'' if watching.closed == 1 else 's'} closed")
    if posting is not None:
        counts = posting.close()
        reason = f" ({counts.reason})" if counts.reason else ""
        lost = f", {counts.failed} failed{reason}, {counts.dropped} found no room" if counts.failed + counts.dropped \
            else ""
        tell(f"{counts.sent} events sent to {posting.url}{lost}")


def tell(line: str) -> None:
    print(f"stvr: {line}", file=sys.stderr, flush=True)
