"""Check the types of the page's modules with TypeScript: `make check` runs it. Writes nothing."""

import sys

from packages import HERE, MODULES, install, run_node

if __name__ == "__main__":
    install()
    sys.exit(run_node([str(MODULES / "typescript" / "bin" / "tsc"), "--project", str(HERE)], HERE).returncode)
