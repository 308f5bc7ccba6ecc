"""Published checkpoints as data: origin and licence of each, and how to load it."""

from wxr_plugin.checkpoints import reading
from wxr_plugin.zoo import rows

reading.published_classes = rows.published_classes
