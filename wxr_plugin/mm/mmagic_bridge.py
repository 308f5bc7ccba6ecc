"""Bridge to mmagic: `custom_imports = dict(imports=["wxr_plugin.mm.mmagic_bridge"])` in a config.

It has to be the first of the imports of a config. After it mmagic can be imported, and its configs
may name our classes. Where mmagic imports by itself, it stays as it is. `bridge` reports the
repairs, which `wxr_plugin.mm.mmagic_repair` makes.
"""

from wxr_plugin.mm.mmagic_repair import connect

bridge = connect()
