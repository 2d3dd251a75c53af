"""The studio as a server: what it is opened with, where it listens, how it ends."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn

from stvr.library import Library
from stvr.session import Session
from stvr.studio.app import Studio, build_app
from stvr.studio.catalogue import inside
from stvr.studio.indexed_shelf import IndexedShelf
from stvr.studio.patient import patient
from stvr.studio.plain_shelf import PlainShelf
from stvr.studio.safety import Guard, is_loopback
from stvr.studio.shelf import Shelf
from stvr.studio.uploads import Uploads

MOST_CONNECTIONS = 256
PATIENCE = 15.0  # seconds
MOST_HEADER_BYTES = 16 << 10


def open_folder(folder: Path, videos: Sequence[Path], session: Session, tell: Callable[[str], None]) -> Shelf:
    """A library without an index. tell: is given a line on files that links lead out of the folder."""
    kept, outside = inside(folder, videos)
    if outside:
        tell(f"{len(outside)} videos are left out, links that lead out of {folder}, {outside[0].name} first")
    return PlainShelf(folder.resolve().name, session, kept)


def open_index(folder: Path, head: Path | str | None, weights: Path | str | None, device: str) -> Shelf:
    """A library that was indexed."""
    return IndexedShelf(folder.resolve().name, Library.open(folder, head=head, weights=weights, device=device))


@contextmanager
def served(
    shelf: Shelf, host: str = "127.0.0.1", port: int = 0, token: str | None = None, most_upload_bytes: int = 1 << 30,
    patience: float = PATIENCE,
) -> Iterator[tuple[uvicorn.Server, str, socket.socket]]:
    """The server, the address of its page, and the socket it is to run with. port: 0 takes any that is free.

    patience: seconds that a request's headers may take, and the next part of its body. ValueError for a host or a port
    that cannot be had, and for a host beyond this machine without a token.
    """
    if token is None and not is_loopback(host):
        raise ValueError(f"{host} can be reached from other machines, which needs a token. Give --token, or --host "
                         "127.0.0.1.")
    with bound(host, port) as listening, TemporaryDirectory(prefix="stvr-studio-") as folder:
        studio = Studio(shelf, Uploads(Path(folder), most_upload_bytes, patience))
        app = Guard(build_app(studio), host, token, patience)
        server = uvicorn.Server(uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="off", ws="none",
            limit_concurrency=MOST_CONNECTIONS, h11_max_incomplete_event_size=MOST_HEADER_BYTES,
            http=patient(patience), timeout_graceful_shutdown=2,
        ))  # fmt: skip
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listening.getsockname()[1]}/" + (f"?token={token}" if token else "")
        try:
            yield server, address, listening
        finally:
            studio.searches.stop()


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise ValueError(f"{host} port {port} cannot be listened on: {error.strerror}. Choose another --port; 0 "
                             "takes any that is free.") from None
        yield listening
