"""The kinds of weather, by name."""

KINDS = ("rain", "haze", "snow")
WEATHERS = ("clear", *KINDS)
