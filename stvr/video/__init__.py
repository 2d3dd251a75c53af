"""What a video file is: its frames, its clock, where it lies. The only room that knows the decoder."""
