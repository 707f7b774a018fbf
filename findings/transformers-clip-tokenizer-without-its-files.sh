#!/usr/bin/env bash
# transformers 5: CLIPTokenizer with `vocab_file` and `merges_file`, as in transformers 4, reads neither and knows no word.
#
# Versions: transformers 4.57.6 and 5.23.0, Python 3.11.
# Guess:    the arguments that transformers 4 requires still name the files, or are a TypeError.
# In fact:  they are swallowed with the other keyword arguments. The tokenizer has two tokens, and every prompt of a length
#           has the same ids; nothing is raised or logged. `vocab=` and `merges=` take the paths, as positional arguments
#           do.
# Output:   4.57.6: 518 tokens; "a dog": 320 513, "a cat": 320 515
#           5.23.0: 2 tokens; "a dog": 2 2 2 2, "a cat": 2 2 2 2
#           5.23.0 with vocab= and merges=: 518 tokens; "a dog": 320 513, "a cat": 320 515
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 4.57.6 5.23.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "transformers==$version"
done

cd "$folder"
cat > write.py <<'PY'
import json

letters = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
others = [256 + number for number in range(256 - len(letters))]
characters = [chr(number) for number in letters + others]
merges = [("d", "o"), ("do", "g</w>"), ("c", "a"), ("ca", "t</w>")]
tokens = characters + [each + "</w>" for each in characters] + ["".join(pair) for pair in merges]
tokens += ["<|startoftext|>", "<|endoftext|>"]
with open("vocab.json", "w") as file:
    json.dump({token: number for number, token in enumerate(tokens)}, file)
with open("merges.txt", "w") as file:
    file.write("\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges), ""]))
PY
cat > read.py <<'PY'
import sys

from transformers import CLIPTokenizer

vocab, merges = sys.argv[1:]
tokenizer = CLIPTokenizer(**{vocab: "vocab.json", merges: "merges.txt"})
ids = {text: " ".join(map(str, tokenizer(text)["input_ids"][1:-1])) for text in ("a dog", "a cat")}
print(f"{len(tokenizer)} tokens; " + ", ".join(f'"{text}": {each}' for text, each in ids.items()))
PY
python3 write.py
old=$(4.57.6/bin/python read.py vocab_file merges_file 2> log) || { cat log; exit 1; }
new=$(5.23.0/bin/python read.py vocab_file merges_file 2> log) || { cat log; exit 1; }
renamed=$(5.23.0/bin/python read.py vocab merges 2> log) || { cat log; exit 1; }
printf '%s\n' "4.57.6: $old" "5.23.0: $new" "5.23.0 with vocab= and merges=: $renamed"
[[ $old == '518 tokens; "a dog": 320 513, "a cat": 320 515' ]]
[[ $new == '2 tokens; '* ]]
[[ $renamed == "$old" ]]
