"""Labels: what class is a stretch of video?"""
