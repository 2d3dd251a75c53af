"""What `stvr train` and `stvr finetune` share: their flags, and how steps are shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from stvr.commands import options_of, usable

RunFolder = Annotated[Path, typer.Option(help="The folder of the run.", show_default=False)]
Config = Annotated[Path | None, typer.Option(help="Options in a TOML file; flags win.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where a run was stopped.")]


def run_options(
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps in all.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pairs in a step, over all processes together.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd or adamw.")] = None,
    schedule: Annotated[str | None, typer.Option(help="step or cosine.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, float32, or bfloat16 by autocast.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bits at every run on a GPU, too; slower there.")
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Compile the steps of the propagation; the first step is slow.")
    ] = False,
    ema: Annotated[float | None, typer.Option(help="Save a running average of the weights with this decay.")] = None,
    flip: Annotated[
        str | None, typer.Option(help="Mirror query and reference: auto (where both views exist), on or off.")
    ] = None,
    windows: Annotated[
        str | None, typer.Option(help="Training references: context, as in tests, or targets alone.")
    ] = None,
    batching: Annotated[
        str | None, typer.Option(help="mixed, or by_length: queries of similar length together.")
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log for TensorBoard too (an extra).")] = False,
    readers: Annotated[
        int | None, typer.Option(min=0, help="Processes that read batches; 0, the default, is a thread.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed gives the same result.")] = None,
) -> dict[str, Any]:
    """The options of a run that were given as flags."""
    return options_of(
        steps=steps, batch_size=batch_size, lr=lr, optimizer=optimizer, schedule=schedule, precision=precision,
        deterministic=deterministic or None, compiled=compiled or None, ema=ema, flip=flip, windows=windows,
        batching=batching, tensorboard=tensorboard or None, readers=readers, seed=seed,
    )  # fmt: skip


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the flags of `run_options` to a command, which gets their values as its argument `flags`."""
    own, shared = (signature(each, eval_str=True).parameters for each in (command, run_options))

    @wraps(command)
    def with_flags(**values: Any) -> None:
        flags = run_options(**{name: values.pop(name) for name in shared})
        command(**values, flags=flags)

    parameters = [parameter for name, parameter in own.items() if name != "flags"]
    with_flags.__signature__ = Signature([*parameters, *shared.values()])  # type: ignore[attr-defined]
    return with_flags


@contextmanager
def processes(device: str, out: Path, resume: bool, what: str) -> Iterator[tuple[str, Any]]:
    """This process's device, and what shows its steps, which is None for every process but the first.

    Says on standard error when there is no run to resume in `out`.
    """
    from stvr import parallel
    from stvr.progress import shown_steps

    with parallel.joined(device) as own_device, shown_steps(what) as show:
        is_first = parallel.rank() == 0
        if is_first and resume and not out.exists():
            print(f"stvr: there is no run in {out} yet, so this one begins with the first step", file=sys.stderr)
        yield usable(own_device), show if is_first else None


def say_steps(steps: int, steps_now: int, losses: Mapping[str, float]) -> str:
    figures = ", ".join(f"{name} {value:.3g}" for name, value in losses.items()) or "nothing left to do"
    return f"{steps} steps, {steps_now} of them now; {figures}"
