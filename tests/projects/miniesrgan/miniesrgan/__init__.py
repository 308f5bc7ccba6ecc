"""A blind super-resolution project: importing it registers its data, networks and models."""

from . import archs, data, models  # noqa: F401
