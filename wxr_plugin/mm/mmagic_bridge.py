"""After `custom_imports = dict(imports=["wxr_plugin.mm.mmagic_bridge"])` mmagic imports, and its configs know us.

It comes first among the imports of a config. Where mmagic imports by itself, nothing of it is
touched. `bridge` says what was done; what it takes is in `wxr_plugin.mm.mmagic_repair`.
"""

from wxr_plugin.mm.mmagic_repair import connect

bridge = connect()
