"""Checks of an option file.

Each check adds its problems to a `Report`; none stops at the first problem. A check does nothing if
the values that it compares are missing or of the wrong type, since `blocks` reports those.
"""
