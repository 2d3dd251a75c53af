"""A session: what is loaded once and asked often, over stores, video files and live sources."""

from stvr.session.answer import Answer
from stvr.session.examples import Example
from stvr.session.session import Session
from stvr.session.sources import FileClips, LiveClips, Source, StoredClips

__all__ = ["Answer", "Example", "FileClips", "LiveClips", "Session", "Source", "StoredClips"]
