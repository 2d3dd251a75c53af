"""The web page: open a video, box what happens, see where else it happens. The only room that uses FastAPI."""
