"""Stage one: video files become feature maps in a store."""
