"""stvr weights: show what a file of backbone weights holds, and convert it to our form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stvr.commands import done

app = typer.Typer(no_args_is_help=True, help="Show what a file of backbone weights holds, and convert it to our form.")

WeightsFile = Annotated[
    Path, typer.Argument(help="A .safetensors, rgb_imagenet.pt, or TensorFlow's model.ckpt.", show_default=False)
]


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
