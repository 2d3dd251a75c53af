"""The dials of the synthetic world: how much of everything, in three sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any

STYLES = ("plain", "outlined", "striped")  # how the limbs of an actor are painted
SPLITS = ("train", "test", "val")  # the order seeds the videos
CELL = 16  # pixels of a feature map's cell: I3D's stride at Mixed_4c
CLIPS_A_SECOND = 3  # eight frames of 24 a second


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """The dials. Lengths are shares of the image side, times are seconds; a pair is (smallest, largest), and every
    video, actor or segment draws its own value from that range. The defaults are the world of `stvr demo`.

    seconds: length of a video, and so of the references cut from it. actors: how many in a video.
    speed: cells of the feature map that an actor moves in a clip, whether its action walks or stays on the spot;
        (0, 0) lets each action travel at its own speed.
    occlusion: how long a board hides each actor, once in a video and for at most half of it; (0, 0) means no boards.
    clutter: swinging things in a video that are not actors, half of them in front. styles: see STYLES.
    combined: an action is a limb motion and a path, two labels of one actor as in AVA; needs a speed above 0.
    exact_boxes: a box is the extent of the actor's whole mask to the pixel, hidden parts included; False: the extent
        of its outline before it is painted, up to a pixel off, as in the demo's published figures.
    period: of one repetition. segment_seconds: how long an actor keeps to an action. height: of a standing actor.
    camera_speed: the most, in image sides a second.
    """

    seed: int = 0
    num_train_videos: int = 150
    num_val_videos: int = 0
    num_test_videos: int = 48
    image_size: int = 160
    fps: int = 24
    seconds: tuple[int, int] = (6, 8)
    actors: tuple[int, int] = (2, 3)
    speed: tuple[float, float] = (0.0, 0.0)
    occlusion: tuple[float, float] = (0.0, 0.0)
    clutter: tuple[int, int] = (0, 0)
    styles: tuple[str, ...] = ("plain",)
    combined: bool = False
    exact_boxes: bool = False
    height: tuple[float, float] = (0.44, 0.69)
    period: tuple[float, float] = (0.8, 1.5)
    segment_seconds: tuple[int, int] = (2, 4)
    camera_speed: float = 0.05

    def __post_init__(self) -> None:
        for name in ("seconds", "actors", "segment_seconds", "height", "period"):
            check_pair(name, getattr(self, name), above_zero=True)
        for name in ("speed", "occlusion", "clutter"):
            check_pair(name, getattr(self, name), above_zero=False)
        for name in ("seconds", "actors", "segment_seconds", "clutter"):
            pair = getattr(self, name)
            require(all(isinstance(end, int) for end in pair), name, "whole numbers", pair)
        for name, least in (("seed", 0), ("num_train_videos", 1), ("num_val_videos", 0), ("num_test_videos", 1),
                            ("fps", CLIPS_A_SECOND)):
            require(getattr(self, name) >= least, name, f"at least {least}", getattr(self, name))
        require(self.image_size >= 32 and self.image_size % 2 == 0, "image_size", "an even number of at least 32",
                self.image_size)
        require(self.camera_speed >= 0, "camera_speed", "at least 0", self.camera_speed)
        require(bool(self.styles) and set(self.styles) <= set(STYLES), "styles", f"some of {', '.join(STYLES)}",
                self.styles)
        require(not self.combined or self.speed[0] > 0, "speed", "more than 0 where actions are combined with paths",
                self.speed)

    def num_videos(self, split: str) -> int:
        return int(getattr(self, f"num_{split}_videos"))

    def names(self) -> list[str]:
        """The names of all videos: train_0000, train_0001, ..."""
        return [f"{split}_{index:04d}" for split in SPLITS for index in range(self.num_videos(split))]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"num_train_videos": 4, "num_test_videos": 2, "image_size": 96, "seconds": (4, 4)},  # for tests
    "small": {},  # for two cores
    "full": {  # for a GPU: every dial
        "num_train_videos": 1200, "num_val_videos": 150, "num_test_videos": 250, "image_size": 320,
        "seconds": (10, 60), "actors": (1, 5), "speed": (0.25, 3.0), "occlusion": (0.0, 3.0), "clutter": (0, 6),
        "styles": STYLES, "combined": True, "exact_boxes": True, "camera_speed": 0.1,
    },
}  # fmt: skip


def world_options(size: str = "small", dials: Mapping[str, Any] | None = None) -> WorldOptions:
    """A preset, and dials that override it; None means not given. ValueError names what does not fit."""
    if size not in PRESETS:
        raise ValueError(f"there is no world of size {size!r}. Choose one of {', '.join(PRESETS)}.")
    given = {name: value for name, value in (dials or {}).items() if value is not None}
    known = [field.name for field in fields(WorldOptions)]
    for name in given:
        if name not in known:
            raise ValueError(f"there is no dial {name!r}. The dials are: {', '.join(known)}.")
    return WorldOptions(**{**PRESETS[size], **given})


def check_pair(name: str, pair: tuple[float, float], *, above_zero: bool) -> None:
    fits = len(pair) == 2 and all(isfinite(end) for end in pair) and pair[0] <= pair[1]
    low = "0 < smallest" if above_zero else "0 <= smallest"
    require(fits and (pair[0] > 0 if above_zero else pair[0] >= 0), name, f"{low} <= largest", pair)


def require(fits: bool, name: str, expected: str, value: object) -> None:
    if not fits:
        raise ValueError(f"dial {name!r}: wanted {expected}, got {value!r}.")
