"""The arithmetic of the answer: geometry, linking and metrics. No networks, no files."""
