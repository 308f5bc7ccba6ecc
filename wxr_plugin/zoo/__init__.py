"""Published checkpoints as data: what each is, where it is from and how it is loaded."""

from wxr_plugin.checkpoints import reading
from wxr_plugin.zoo import rows

reading.published_classes = rows.published_classes
