"""The command: what does not fit is one line; the server begins, answers and ends, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs fastapi, which is not installed: pip install 'stvr[studio]'")
httpx = pytest.importorskip("httpx", reason="needs httpx, which is not installed")


@pytest.mark.parametrize(("words", "told"), [
    (["nowhere"], "nowhere"), (["LIBRARY", "--host", "0.0.0.0"], "--token"), (["LIBRARY", "--port", "99999"], "--port"),
    (["LIBRARY", "--host", "no such host"], "host"), (["EMPTY"], "no video file"),
])  # fmt: skip
def test_what_does_not_fit_is_one_line(stvr, library, session, tmp_path, words, told):
    (tmp_path / "empty").mkdir()
    store = ["--store", library.parent / "store", "--statistics", library.parent / "store"]
    places = {"LIBRARY": library, "EMPTY": tmp_path / "empty", "nowhere": tmp_path / "nowhere"}
    result = stvr("studio", *(places.get(word, word) for word in words), *store)
    assert result.status == 2
    assert told in result.err
    assert len(result.err.strip().splitlines()) == 1


@pytest.mark.alone
def test_it_serves_until_it_is_interrupted_and_leaves_nothing_behind(library, session, tmp_path):
    store = library.parent / "store"
    words = [sys.executable, "-m", "stvr", "studio", library, "--port", "0", "--store", store, "--statistics", store]
    server = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "TMPDIR": str(tmp_path)})  # fmt: skip
    try:
        address = server.stdout.readline().split()[0]
        assert address.startswith("http://127.0.0.1:")
        assert len(httpx.get(f"{address}api/library").json()["videos"]) == 4
        assert [each.name.startswith("stvr-studio-") for each in Path(tmp_path).iterdir()] == [True]
        server.send_signal(signal.SIGINT)
        server.wait(20)
    finally:
        server.kill()
        server.wait()
    assert not list(tmp_path.iterdir())
