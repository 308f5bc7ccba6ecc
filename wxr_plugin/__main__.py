"""`python -m wxr_plugin` is the same as `wxr`."""

import sys

from wxr_plugin.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
