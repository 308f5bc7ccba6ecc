"""Rain, haze and snow removal for BasicSR, with vision-language models in the loop.

Importing this package repairs BasicSR 1.4.2 for current packages (`wxr_plugin.compat`) and
registers its networks, datasets, losses, metrics and models with BasicSR. Import it before
`basicsr`.
"""

from wxr_plugin import compat
from wxr_plugin.utils import vendored

# An error of a basicsr that lies in the current directory is explained.
with vendored.explained():
    compat.repair()
vendored.warn_of_unused()

# Imported for their registrations, which need the repaired BasicSR.
from wxr_plugin import archs, data, losses, metrics, models, zoo  # noqa: E402, F401

__version__ = "0.1.0"
