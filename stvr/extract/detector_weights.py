"""Get torchvision's own weights of a detector into the cache, from the address that torchvision publishes."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj

from stvr.backbones.weights.cache import cache_folder, room_for
from stvr.backbones.weights.download import Tell, client_of, download, host_of
from stvr.backbones.weights.pip_settings import read_pip_settings
from stvr.files import whole

DETECTORS = (
    "fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn", "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_v2",
    "fcos_resnet50_fpn", "ssd300_vgg16", "ssdlite320_mobilenet_v3_large",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PublishedDetector:
    """url: of the file. prefix: the first 8 hex digits of its sha256, which its name ends with. size: bytes, about."""

    url: str
    prefix: str
    size: int


def published(name: str) -> PublishedDetector:
    """What torchvision says about its best weights of a detector."""
    from torchvision.models import get_model_weights

    best = get_model_weights(name).DEFAULT
    digits = re.search(r"-([0-9a-f]{8})\.pth$", best.url)
    if digits is None:
        raise ValueError(f"torchvision publishes the weights of {name} without a digest. Get them yourself, and give "
                         "them with --boxes-weights FILE.")
    return PublishedDetector(best.url, digits[1], round(best.meta["_file_size"] * 2**20))


def detector_kept_at(name: str) -> Path:
    """Where the weights of a detector are once they have been fetched."""
    return cache_folder() / f"{name}.pth"


def fetch_detector(
    name: str, say: Callable[[str], None], tell: Tell | None = None, timeout: float | None = None
) -> bool:
    """Brings torchvision's weights of a detector into the cache; False where they are there, whole, already.

    The rest is as in `stvr.backbones.weights.fetch`; pip's certificates, proxy and time-out hold here, too.
    """
    from_torchvision, path = published(name), detector_kept_at(name)
    if path.is_file() and sha256(path).startswith(from_torchvision.prefix):
        return False
    settings, host = read_pip_settings(timeout), host_of(from_torchvision.url)
    with (room_for(path), client_of(settings) as client,
          tempfile.TemporaryFile(dir=path.parent) as file):  # without a name: a kill leaves nothing
        say(f"{name}: torchvision's own, trained on COCO; from {host}, {from_torchvision.size / 1e6:.1f} MB")
        came = download(client, from_torchvision.url, file, from_torchvision.size, tell)
        if not came.startswith(from_torchvision.prefix):
            raise ValueError(f"the weights of {name} from {host} are not what torchvision publishes: their sha256 is "
                             f"{came[:8]}..., not {from_torchvision.prefix}.... Nothing was kept; run this again.")
        file.seek(0)
        with whole(path) as partial, partial.open("wb") as kept:
            copyfileobj(file, kept)
    say("licences: torchvision's code is under BSD-3-Clause; its weights come as they are, see its documentation")
    return True


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
