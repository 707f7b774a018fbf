"""Print what sd-prompt-reader finds in images, JSON by file name: FILES..."""

import json
import sys
from pathlib import Path

from sd_prompt_reader.image_data_reader import ImageDataReader

found = {}
for path in map(Path, sys.argv[1:]):
    with path.open("rb") as file:
        data = ImageDataReader(file)
    found[path.name] = {
        "tool": data.tool, "prompt": data.positive, "negative": data.negative, "parameters": data.parameter,
    }  # fmt: skip
print(json.dumps(found))
