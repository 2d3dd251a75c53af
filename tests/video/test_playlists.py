"""A file that is named like a video but lists other files leads to none of them."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from film import write_film
from streamed import fifo

from stvr.video.decode import VideoError, probe
from stvr.video.live import opened_live

LISTS = {
    "concat": "ffconcat version 1.0\nfile other.ts\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:1.0,\nother.ts\n#EXT-X-ENDLIST\n",
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ts"])
def test_a_list_of_files_is_no_video(tmp_path: Path, kind: str, suffix: str):
    path = tmp_path / f"list{suffix}"
    path.write_text(LISTS[kind])
    write_film(tmp_path / "other.ts", 24)
    assert probe(tmp_path / "other.ts").width == 64
    if suffix != ".ts" or kind == "concat":
        with av.open(str(path)) if kind == "concat" else av.open(str(path), format="hls") as container:
            assert container.streams.video[0].width == 64  # the decoder alone would follow it
    with pytest.raises(VideoError, match="cannot be read as a video"):
        probe(path)


@pytest.mark.parametrize("text", [
    *LISTS.values(), "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 33\n",
])  # fmt: skip
def test_a_list_that_comes_through_a_pipe_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    write_film(tmp_path / "other.ts", 24)
    monkeypatch.chdir(tmp_path)  # from where its names are counted
    with fifo(tmp_path / "pipe", text.encode()) as pipe, pytest.raises(VideoError, match="as a video"), \
            opened_live(pipe):  # fmt: skip
        pytest.fail("the list was followed")
