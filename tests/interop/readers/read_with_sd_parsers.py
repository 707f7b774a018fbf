"""Print what sd-parsers finds in images, JSON by file name: FILES..."""

import json
import sys
from pathlib import Path

from sd_parsers import ParserManager

found = {}
for path in map(Path, sys.argv[1:]):
    info = ParserManager().parse(str(path))
    found[path.name] = info and {
        "prompt": info.full_prompt,
        "negative": info.full_negative_prompt,
        "sampler": [each.name for each in info.samplers],
        "seed": [each.parameters.get("seed") for each in info.samplers],
        "metadata": {name: str(value) for name, value in info.metadata.items()},
    }
print(json.dumps(found))
