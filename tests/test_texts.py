"""Text files of other programs: which are read, and what is said of the others."""

import pytest

from stvr.texts import read_json, read_text


@pytest.mark.parametrize("data", [
    "é\nb\n".encode(), "é\nb\n".encode("utf-8-sig"), "é\nb\n".encode("utf-16"),
    b"\xfe\xff" + "é\nb\n".encode("utf-16-be"),
    "é\r\nb\r\n".encode(), "é\rb\r".encode(),
])  # fmt: skip
def test_text_is_the_same_in_every_encoding_and_with_every_end_of_line(tmp_path, data):
    (tmp_path / "t.txt").write_bytes(data)
    assert read_text(tmp_path / "t.txt") == "é\nb\n"


@pytest.mark.parametrize(("data", "says"), [
    ("a\nb\né\n".encode("latin-1"), "t.txt, line 3: byte 0xe9 is not UTF-8: the file has another encoding, Latin-1"),
    ("ab\n".encode("utf-16-le"), "t.txt, line 1: a zero byte"),
    ("ab\n".encode("utf-32"), "t.txt, line 1: a zero byte"),
    (b"\xff\xfea", "t.txt, line 1: byte 0x61 is not UTF-16"),
])  # fmt: skip
def test_other_bytes_are_refused_with_their_line(tmp_path, data, says):
    (tmp_path / "t.txt").write_bytes(data)
    with pytest.raises(ValueError, match=says):
        read_text(tmp_path / "t.txt")


@pytest.mark.parametrize(("text", "says"), [
    ("{\n1}", "t.txt is not JSON: line 2"), ("[" * 100_000, "nested too deeply"),
])  # fmt: skip
def test_what_is_no_json_is_said_in_one_line(tmp_path, text, says):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(ValueError, match=says) as refusal:
        read_json(tmp_path / "t.txt")
    assert "\n" not in str(refusal.value)
