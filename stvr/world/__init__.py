"""The synthetic action world: videos in which everything is known."""
