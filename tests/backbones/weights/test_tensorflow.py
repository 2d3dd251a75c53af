"""TensorFlow's checkpoints: every name, shape and value, or one line that says what is wrong."""

from __future__ import annotations

import json
import math
import re

import bundle
import numpy as np
import pytest
from bundle import write_bundle

from stvr.backbones.weights.tensorflow import is_checkpoint, read_checkpoint, read_index

FIVE = {
    "RGB/a/w": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "RGB/a/b": np.array([1.5, -2.5]),
    "RGB/b": np.array([[2**31 - 1], [-7]], np.int32),
    "global_step": np.array(2**40, np.int64),
    "half": np.array([0.5, 65504], np.float16),
}


@pytest.fixture
def five(tmp_path):
    write_bundle(tmp_path / "model.ckpt", FIVE, rows_a_block=2, restart=2)
    return tmp_path / "model.ckpt"


def test_the_checksum_is_that_of_the_published_example():
    assert bundle.crc32c(b"123456789") == 0xE3069283  # RFC 3720's polynomial, its usual check value


@pytest.mark.parametrize(("checkpoint", "count"), [
    ("rgb_imagenet", 230), ("flow_imagenet", 230), ("rgb_scratch_kin600", 346),
])
def test_deepminds_index_files_hold_the_names_and_shapes_that_tensorflow_lists(shared, checkpoint, count):
    folder = shared / "data/reference_values/i3d"
    listed = json.loads((folder / "deepmind_checkpoint_variables.json").read_text())[checkpoint]
    entries = read_index(folder / checkpoint / "model.ckpt")
    assert len(entries) == count
    assert {name: {"shape": list(entry.shape), "dtype": entry.dtype} for name, entry in entries.items()} == listed
    end = 0  # and the variables lie whole, one after another
    for entry in sorted(entries.values(), key=lambda entry: entry.offset):
        assert (entry.shard, entry.offset, entry.size) == (0, end, 4 * math.prod(entry.shape))
        end += entry.size


@pytest.mark.parametrize("num_shards", [1, 3])
@pytest.mark.parametrize(("rows_a_block", "restart"), [(1, 1), (2, 16), (100, 3)])
def test_every_value_is_read_back_from_any_blocks_and_shards(tmp_path, rows_a_block, restart, num_shards):
    write_bundle(tmp_path / "m", FIVE, rows_a_block, restart, num_shards)
    read = read_checkpoint(tmp_path / "m")
    assert sorted(read) == sorted(FIVE)
    for name, value in FIVE.items():
        assert read[name].dtype == value.dtype
        np.testing.assert_array_equal(read[name], value)


@pytest.mark.parametrize("path", ["model.ckpt", "model.ckpt.index", "model.ckpt.data-00000-of-00001", ""])
def test_a_checkpoint_is_named_by_its_prefix_one_of_its_files_or_its_folder(five, path):
    assert is_checkpoint(five.parent / path)
    assert read_checkpoint(five.parent / path, ["RGB/b"]).keys() == {"RGB/b"}


def test_a_file_of_another_kind_is_not_a_checkpoint(tmp_path):
    (tmp_path / "rgb.pt").write_bytes(b"x")
    assert not is_checkpoint(tmp_path / "rgb.pt")
    assert not is_checkpoint(tmp_path / "nowhere")


def test_only_the_data_of_the_variables_asked_for_is_opened(five):
    write_bundle(five, FIVE, num_shards=5)  # RGB/a/b lies in the first
    (five.parent / "model.ckpt.data-00004-of-00005").unlink()
    assert read_checkpoint(five, ["RGB/a/b"])["RGB/a/b"].tolist() == [1.5, -2.5]
    with pytest.raises(FileNotFoundError, match=r"data-00004-of-00005: wanted the data"):
        read_checkpoint(five)


def test_the_values_are_writable(five):
    read_checkpoint(five)["RGB/a/w"][0] = 7


def test_no_changed_byte_of_the_index_goes_unseen(five):
    file = five.with_name("model.ckpt.index")
    data, expected = file.read_bytes(), read_index(five)
    refused = []
    for place in range(len(data)):
        file.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            assert read_index(five) == expected  # the byte is of the meta index or the padding, which carry nothing
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > len(data) - 60
    assert all(re.fullmatch(r".*index: wanted the index of a TensorFlow checkpoint .*", line) for line in refused)


@pytest.mark.parametrize("length", [0, 10, 48, 200])
def test_an_index_cut_short_is_refused_in_one_line(five, length):
    file = five.with_name("model.ckpt.index")
    file.write_bytes(file.read_bytes()[-length:] if length == 48 else file.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"^.*model.ckpt.index: wanted the index .*$"):
        read_index(five)


@pytest.mark.parametrize(("change", "message"), [
    (lambda data: data[:-1], "cut short"), (lambda data: b"", "cut short"),
    (lambda data: data[:20] + b"\x99" + data[21:], "damaged or belongs to another checkpoint"),
])
def test_data_cut_short_or_changed_is_refused(five, change, message):
    file = five.with_name("model.ckpt.data-00000-of-00001")
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(ValueError, match=message):
        read_checkpoint(five)


def test_compressed_blocks_are_refused(five, monkeypatch):
    plain = bundle.sealed
    monkeypatch.setattr(bundle, "sealed", lambda content: plain(content, compression=1))
    write_bundle(five, FIVE)
    with pytest.raises(ValueError, match="got one with compressed blocks"):
        read_index(five)


def test_another_byte_order_is_refused(five):
    write_bundle(five, FIVE, endianness=1)
    with pytest.raises(ValueError, match="numbers in big-endian order"):
        read_index(five)


def test_a_variable_that_is_not_numeric_is_listed_but_not_read(five):
    write_bundle(five, {**FIVE, "words": np.array([b"abc"])})
    assert read_index(five)["words"].dtype == "type 7"
    assert read_checkpoint(five, ["half"])["half"].tolist() == [0.5, 65504]
    with pytest.raises(ValueError, match="words: wanted a whole variable of numbers, got TensorFlow's type 7"):
        read_checkpoint(five)


def test_a_missing_variable_is_named(five):
    with pytest.raises(LookupError, match="wanted the variable 'RGB/c', got 5 others"):
        read_checkpoint(five, ["RGB/b", "RGB/c"])


def test_a_folder_with_two_checkpoints_is_refused(five):
    write_bundle(five.parent / "other.ckpt", FIVE)
    with pytest.raises(FileNotFoundError, match=r"with 2 \.index files"):
        read_index(five.parent)
