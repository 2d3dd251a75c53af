"""Videos are called alike by files and by annotations, whatever the folder, the ending and the Unicode form."""

import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stvr.video_names import ByVideo, names_of, plain_name, short_names


@pytest.mark.parametrize(("text", "name"), [
    ("a", "a"), ("a.mp4", "a"), (" a.MKV ", "a"), ("v_x.c001", "v_x.c001"), ("v_x.c001.avi", "v_x.c001"),
    ("Sport/v_1.mp4", "Sport/v_1"), ("Sport\\v_1.mp4", "Sport/v_1"), ("./a.mp4", "a"), ("/data/a.mts", "data/a"),
    ("cafe\u0301.mp4", "caf\u00e9"), ("2.5", "2.5"),
])  # fmt: skip
def test_a_name_has_one_spelling(text, name):
    assert plain_name(text) == name


def test_a_stem_alone_where_it_is_unique_else_the_path_below_the_shared_folder():
    assert short_names(["set/day1/clip", "set/day2/clip", "set/day2/other"]) == {
        "set/day1/clip": "day1/clip", "set/day2/clip": "day2/clip", "set/day2/other": "other"}
    assert short_names(["a", "b/a"]) == {"a": "a", "b/a": "b/a"}
    assert short_names(["deep/down/only"]) == {"deep/down/only": "only"}


def test_files_of_one_stem_and_folder_are_refused():
    with pytest.raises(ValueError, match=r"clip\.mp4 and .*clip\.avi would both be called 'clip'"):
        names_of([Path("clip.mp4"), Path("clip.avi")])
    assert list(names_of([Path("clip.mp4"), Path("clip.mp4")])) == ["clip"]


def test_a_video_is_found_under_any_spelling_that_means_it_alone():
    videos = ByVideo({"day1/clip": 1, "day2/clip": 2, "caf\u00e9": 3})
    for text in ("cafe\u0301.mp4", "/somewhere/else/caf\u00e9", "caf\u00e9.webm"):
        assert videos[text] == 3
    assert videos.name("films/day2/clip.mp4") == "day2/clip"
    assert videos.name("clip.mp4") is None  # either
    assert videos.get("day3/other") is None


parts = st.text("abcé. _-ü", min_size=1, max_size=5).filter(lambda part: part.strip(" .") == part and part)


@settings(deadline=None)
@given(st.sets(st.tuples(parts, parts, parts), min_size=1, max_size=8), st.sampled_from(["NFC", "NFD"]),
       st.sampled_from([".mp4", ".MKV", ".avi"]))
def test_no_two_files_share_a_name_and_each_is_found_by_its_path(paths, form, ending):
    texts = {unicodedata.normalize(form, "/".join(path)) for path in paths}
    files = [Path("/films") / (text + ".mp4") for text in texts]
    names = names_of(files)
    assert sorted(names.values()) == sorted(files)
    assert all(unicodedata.is_normalized("NFC", name) for name in names)
    videos = ByVideo(dict.fromkeys(names))
    for name, file in names.items():
        assert videos.name(name) == name
        assert videos.name(str(PurePosixPath(file).with_suffix(ending))) == name
