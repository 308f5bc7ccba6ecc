"""A super-resolution project: importing it registers its network and its model."""

from .archs import *  # noqa: F403
from .models import *  # noqa: F403
