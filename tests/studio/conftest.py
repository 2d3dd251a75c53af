"""A small library of things that move, and the studio that serves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from moving import even, uneven, write_moving

from stvr.backbones import load_backbone
from stvr.extract.job import extract
from stvr.session import Session
from stvr.structures import ClipSpec
from stvr.studio.plain_shelf import PlainShelf

UPLOAD_BYTES = 1 << 20


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H.264, MPEG-4 part 2, and H.264 of a variable rate; who is striped goes up and down, who is dotted to and fro."""
    folder = tmp_path_factory.mktemp("studio") / "library"
    folder.mkdir()
    write_moving(folder / "dotted_h264.mp4", "dotted", "libx264", even(3), 0.5, seed=2)
    write_moving(folder / "striped_part2.mp4", "striped", "mpeg4", even(3), 0.65, seed=3)
    write_moving(folder / "empty_part2.mp4", "empty", "mpeg4", even(3), seed=4)
    write_moving(folder / "dotted_uneven.mp4", "dotted", "libx264", uneven(3), 0.35, seed=5)
    return folder


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The video that is asked with: a striped thing in the left part of it."""
    return write_moving(tmp_path_factory.mktemp("asked") / "asked.mp4", "striped", "libx264", even(3), 0.3, seed=1)


@pytest.fixture(scope="session")
def session(library: Path, asked: Path) -> Session:
    """One that asks nearest, whose features are stored, those of the video that is asked with as well."""
    store = library.parent / "store"
    clip = ClipSpec(image_size=96)
    videos = [*sorted(library.glob("*.mp4")), asked]
    extract(videos, store, load_backbone(runtime="auto"), clip, report=lambda step: None)
    return Session.open(store=store, statistics=store, device="cpu")


@pytest.fixture(scope="session")
def shelf(library: Path, session: Session) -> PlainShelf:
    return PlainShelf("library", session, sorted(library.glob("*.mp4")))


@contextmanager
def running(shelf: PlainShelf, **options: object) -> Iterator[str]:
    """The address of a studio that runs in a thread."""
    from stvr.studio.serving import served

    with served(shelf, most_upload_bytes=UPLOAD_BYTES, **options) as (server, address, listening):
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            thread.join(0.02)
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def run_studio() -> Callable[..., object]:
    return running


@pytest.fixture(scope="module")
def studio(shelf: PlainShelf) -> Iterator[str]:
    """The address of a studio, which waits two seconds for a slow body."""
    with running(shelf, patience=2.0) as address:
        yield address
