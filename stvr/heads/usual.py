"""What features usually are, mean and deviation of every channel: as shipped for weights we know, or of a library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from stvr.heads.checkpoint import read_tensors
from stvr.heads.standardise import over_steps
from stvr.store import FeatureSpec, FeatureStore
from stvr.structures import Span

Usual = Mapping[str, tuple[Tensor, Tensor]]  # endpoint -> mean and deviation, (channels,) each

SHIPPED = Path(__file__).with_name("usual") / "i3d-kinetics-400.safetensors"  # its header says of which clips
CLIPS_OF_A_VIDEO = 32  # that are measured in a library, spread over the video
VIDEOS_OF_A_LIBRARY = 200


def shipped_usual(spec: FeatureSpec) -> Usual | None:
    """Of features of this spec; None where none ship for its weights, its endpoints or its context."""
    tensors, header = read_tensors(SHIPPED)
    known = FeatureSpec.from_json(header["specs"][spec.clip.context])
    if not {*spec.endpoints} <= {*known.endpoints} or known.only(spec.endpoints).weights_digest != spec.weights_digest:
        return None
    names = {endpoint: f"{spec.clip.context}.{endpoint}" for endpoint in spec.endpoints}
    return {endpoint: (tensors[f"{name}.mean"], tensors[f"{name}.deviation"]) for endpoint, name in names.items()}


def shipped_spec(context: str = "video") -> FeatureSpec:
    """The features that the shipped statistics were measured on."""
    return FeatureSpec.from_json(read_tensors(SHIPPED)[1]["specs"][context])


def measured_usual(library: FeatureStore, endpoints: Sequence[str]) -> Usual:
    """Of the videos of a store, each with the same weight however long it is.

    ValueError where it has none, or features that are no numbers.
    """
    videos = library.videos()[:VIDEOS_OF_A_LIBRARY]
    if not videos:
        raise ValueError(f"{library} has no videos to take statistics of. Extract some first, or name another store "
                         "with --statistics.")
    steps = {each.endpoint: each.steps for each in library.spec.only(endpoints).maps}
    moments: dict[str, list[Tensor]] = {endpoint: [] for endpoint in endpoints}
    for video in videos:
        for endpoint, maps in spread(library, video, endpoints).items():
            cells = over_steps(maps, steps[endpoint]).flatten(0, -2).double()
            if not cells.isfinite().all():
                raise ValueError(f"{library}: features of {video} are no numbers. Run `stvr verify` on it, and extract "
                                 "the video again.")
            moments[endpoint].append(torch.stack([cells.mean(0), cells.square().mean(0)]))
    return {endpoint: mean_and_deviation(torch.stack(each)) for endpoint, each in moments.items()}


def mean_and_deviation(moments: Tensor) -> tuple[Tensor, Tensor]:
    """First and second moments of V videos (V, 2, channels) -> (channels,) twice."""
    mean, square = moments.mean(0)
    return mean.float(), (square - mean.square()).clamp_min(0).sqrt().float()


def spread(library: FeatureStore, video: str, endpoints: Sequence[str]) -> dict[str, Tensor]:
    """Maps of at most CLIPS_OF_A_VIDEO clips of a video, as far apart as they can be."""
    count = library.num_clips(video)
    chosen = sorted({round(place) for place in torch.linspace(0, count - 1, min(count, CLIPS_OF_A_VIDEO)).tolist()})
    parts = [library.read_features(Span(video, clip, clip + 1), endpoints).maps for clip in chosen]
    return {endpoint: torch.cat([part[endpoint] for part in parts]) for endpoint in endpoints}
