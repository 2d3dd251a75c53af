"""Files that hold no weights in a form that is read: what they are, in words a user knows."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

BEGINNINGS = {  # of files that are often mistaken for weights
    b"version https://git-lfs": "a git-lfs pointer, the weights themselves were not fetched: run `git lfs pull` there",
    b"<!doctype html": "an HTML page: the server answered with a page instead of the file, so download it anew",
    b"<html": "an HTML page: the server answered with a page instead of the file, so download it anew",
    b"<?xml": "an XML page: the server answered with an error instead of the file, so download it anew",
    b"\x89hdf": "an HDF5 file, such as Keras writes",
    b"\x1f\x8b": "packed by gzip: unpack it",
}
HOLDERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params")
PREFIXES = ("module.", "_orig_mod.")  # of torch.nn.DataParallel and of torch.compile
NETWORKS = {  # how names begin, or a part of them: whose they are. The first that fits is said
    r"(rpn|roi_heads)\.": "one of torchvision's detectors, which `stvr extract --boxes-weights` takes",
    r"(feature|context)_encoder\.": "torchvision's RAFT, which `stvr extract --flow-weights` takes",
    r"(\w+\.)*([Mm]ixed_\d[a-f]|conv3d_[12][a-c]_\dx\d)\.": "I3D in another PyTorch layout than rgb_imagenet.pt's",
    r"(\w+\.)*(blocks|encoder\.layers?|layers)\.\d+\.(attn|self_attention|norm1|ln_1)": "a transformer",
    r"(\w+\.)*layer[1-4]\.\d+\.conv1\.": "a ResNet",
}


def stranger(path: Path) -> str | None:
    """What a file is, by its first bytes, that cannot be weights; None where nothing says so."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "empty"
    for beginning, what in BEGINNINGS.items():
        if start.lstrip().lower().startswith(beginning):
            return what
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any("/code/" in name for name in archive.namelist()):
                return "a TorchScript program: save its `state_dict()` and give that file"
    return None


def asked_for(error: Exception) -> str | None:
    """The name of an object that a pickle asks for besides tensors, from torch's refusal to make it."""
    match = re.search(r"(?:Unsupported (?:global|class)|GLOBAL)\W+(?:GLOBAL )?([\w.]+)", str(error))
    return match and match[1]


def state_in(content: Any, depth: int = 3) -> dict[str, Tensor] | None:
    """The flat dict of names and tensors in what a file holds, however wrapped; None where there is none."""
    if not isinstance(content, Mapping):
        return None
    if content and all(isinstance(value, Tensor) for value in content.values()):
        return without_prefix({str(name): value for name, value in content.items()})
    inside = (state_in(content[name], depth - 1) for name in HOLDERS if depth and name in content)
    return next((state for state in inside if state), None)


def without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same without what wrappers put before every name."""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            return without_prefix({name.removeprefix(prefix): value for name, value in state.items()})
    return state


def network_of(names: Collection[str]) -> str | None:
    """Whose weights these names are, where they are known."""
    return next((whose for pattern, whose in NETWORKS.items() if any(re.match(pattern, name) for name in names)), None)


def not_numbers(state: Mapping[str, Tensor]) -> list[str]:
    """The names of the tensors that hold NaN or infinity."""
    return [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
