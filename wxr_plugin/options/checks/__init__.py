"""Checks of an option file.

Each one adds what it finds to a `Report`; none stops at the first problem.
"""
