"""People: who is at each keyframe, and what does everyone of them do?"""
