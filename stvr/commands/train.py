"""stvr train: a head on cached features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from stvr.commands import Device, Examples, Store, done, options_of
from stvr.commands.run_options import Config, Resume, RunFolder, processes, say_steps, with_run_options


@with_run_options
def train(
    store: Store,
    pairs: Examples,
    out: RunFolder,
    flags: Mapping[str, Any],
    frozen_backbone: Annotated[bool, typer.Option("--frozen-backbone", help="On cached features; the default.")] = True,
    head: Annotated[str | None, typer.Option(help="A name on the menu of heads.")] = None,
    propagation: Annotated[
        str | None, typer.Option(help="none, conv_lstm, flow, traj_lstm, warp_lstm, or one that is installed.")
    ] = None,
    block: Annotated[
        str | None, typer.Option(help="The temporal block of the head classifier: mlp, trn, lstm, gru, fcn, ...")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="paper: its sizes and schedule, the default. small: two cores.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Begin from the weights of a pre-trained run, or from I3D's own, by their name.",
                     show_default=False),
    ] = None,
    config: Config = None,
    resume: Resume = False,
    device: Device = "cpu",
) -> None:
    """Stage two: train a head on cached features. Under torchrun, several processes share every batch."""
    from stvr.jobs.train import train as run_train
    from stvr.jobs.train import train_options

    parts = {part: options_of(name=name) or None for part, name in (("propagation", propagation), ("block", block))}
    chosen = options_of(name=head, **parts)
    options = train_options(preset, config, {**flags, **({"head": chosen} if chosen else {})})
    with processes(device, out, resume, "training") as (own_device, show):
        report = run_train(store, pairs, out, options, start=start, resume=resume, device=own_device, report=show)
        if show:
            done(out / "head.safetensors", say_steps(report.steps, report.steps_now, report.losses))
