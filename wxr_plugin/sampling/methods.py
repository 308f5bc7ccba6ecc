"""The names of the sampling equations."""

from typing import Literal

Method = Literal["posterior", "sde", "ode"]
METHODS = ("posterior", "sde", "ode")
