"""Builds an index in processes that are killed. Run as a program, because only a process without threads may fork."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from shelf import files_below

COMPOSITION = "windows+grid+tubes,whiten,nnn,flat"
HERE = Path("here")  # always under one name, because an index notes where its files lie


def begun() -> int:
    """A process that builds an index of the store, or of the films there are beside it."""
    process = os.fork()
    if process:
        return process
    from stvr.library import build_index

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.chdir(HERE)
    sources, store = (["films"], "store") if Path("films").is_dir() else (["store"], None)
    build_index(sources, "index", store=store, composition=COMPOSITION, report=lambda step: None)
    os._exit(0)


def ended_whole(process: int) -> bool:
    return os.waitpid(process, 0)[1] == 0


def reached() -> list[int]:
    """How many are extracted, described, how many folders of rows there are, how many are in the index (-1: none)."""
    patterns = ("store/.complete/*", "index/videos/*.safetensors", "index/rows-*")
    counts, notes = [len(list(HERE.glob(pattern))) for pattern in patterns], HERE / "index" / "index.json"
    return [*counts, len(json.loads(notes.read_text())["videos"]) if notes.is_file() else -1]


def content() -> dict[str, str]:
    return {name: hashlib.sha256(each).hexdigest() for name, each in files_below(HERE).items()}


def main(library: Path, kills: int) -> None:
    """Prints the content after an undisturbed build, what was reached at each kill, and the content after each build
    that lived, which may have been killed several times: it is then begun anew until there were enough kills."""
    for _ in range(2):  # the first reads the libraries from the disk, which takes longer than it will while killed
        shutil.rmtree(HERE, ignore_errors=True)
        shutil.copytree(library, HERE)
        started = time.monotonic()
        if not ended_whole(begun()):
            sys.exit("the undisturbed build failed")
    took, whole = time.monotonic() - started, content()
    draw, states, lived = random.Random(4), list[list[int]](), list[dict[str, str]]()
    while len(states) < kills:
        shutil.rmtree(HERE)
        shutil.copytree(library, HERE)
        while True:
            process = begun()
            if len(states) < kills:  # after the last kill it is let be
                time.sleep(draw.uniform(0.0, 0.9) * took)
                os.kill(process, signal.SIGKILL)
            if ended_whole(process):
                break
            states.append(reached())
        lived.append(content())
    left = [str(file) for file in HERE.rglob("*.partial*")]
    print(json.dumps({"whole": whole, "states": states, "lived": lived, "left": left}))


if __name__ == "__main__":
    import stvr.backbones
    import stvr.library  # noqa: F401

    main(Path(sys.argv[1]), int(sys.argv[2]))
