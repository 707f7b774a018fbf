"""Prints what some extras of pyproject.toml ask for, line by line, for pip. Called by the Dockerfiles.

So dependencies are installed before the source is there, and a change of the source does not install them again.
"""

import sys
import tomllib
from pathlib import Path


def main() -> None:
    path, *extras = sys.argv[1:]
    project = tomllib.loads(Path(path).read_text(encoding="utf-8"))["project"]
    asked = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    print("\n".join(dict.fromkeys(asked)))


if __name__ == "__main__":
    main()
