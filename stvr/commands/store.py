"""stvr store quantize, export, import: make a store smaller, or take it to another format and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import StorePath, done, shown_videos

app = typer.Typer(no_args_is_help=True, help="Make a feature store smaller, or take it to another format and back.")


@app.command()
def quantize(
    store: StorePath,
    out: Annotated[str, typer.Option(help="A new store.", show_default=False)],
    compress: Annotated[
        str, typer.Option(help="lossless, bits7 (of the mantissa) or int8 (one scale for each channel of a clip).")
    ],
) -> None:
    """Copy a store with its features coded another way, and show what they lose."""
    from stvr.store import FeatureStore
    from stvr.store.quantize import quantize as run_quantize

    source = FeatureStore.open(store)
    with shown_videos("quantizing", len(source.videos())) as show:
        losses = run_quantize(source, out, compress, show).values()
    relative, largest = (max((getattr(loss, name) for loss in losses), default=0.0) for name in ("relative", "largest"))
    done(out, f"{len(losses)} videos kept as {compress}; at worst a video is off by {relative:.1e} of its size, "
              f"one value by {largest:.2g}")


@app.command()
def export(
    store: StorePath,
    out: Annotated[Path, typer.Option(help="The file to write.", show_default=False)],
    file_format: Annotated[str, typer.Option("--format", help="hdf5 or npz.")] = "hdf5",
) -> None:
    """Write a store to one file, every array just as it is kept."""
    from stvr.store import FeatureStore
    from stvr.store.exchange import export_features

    source = FeatureStore.open(store)
    with shown_videos("exporting", len(source.videos())) as show:
        done(out, f"{export_features(source, out, file_format, show)} videos")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that `stvr store export` wrote.", show_default=False)],
    out: Annotated[str, typer.Option(help="A store, new or of the same kind.", show_default=False)],
) -> None:
    """Read an exported file back into a store."""
    from stvr.store.exchange import describe_export, import_features

    with shown_videos("importing", describe_export(file)["videos"]) as show:
        done(out, f"{len(import_features(file, out, show).videos())} videos")
