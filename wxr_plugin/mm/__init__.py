"""MMEngine as the second host: models, data, evaluators and hooks for its Runner.

A config reaches them with `custom_imports = dict(imports=["wxr_plugin.mm"])`. Nothing here needs
mmagic; `wxr_plugin.mm.mmagic_bridge` is for those who have it.
"""

from wxr_plugin.compat import fill_kind
from wxr_plugin.mm import (  # noqa: F401
    checkpoints,
    datasets,
    hooks,
    metrics,
    samplers,
    semi_supervised,
    supervised,
)

# mmagic's registry looks into MMEngine's by name, without the imports that MMEngine's makes then.
fill_kind("arch")
fill_kind("loss")
