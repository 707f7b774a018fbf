#!/usr/bin/env bash
# cel-expr-python: an expression that can't be evaluated returns its error as a string, which Python takes for true.
#
# Versions: cel-expr-python 0.1.3, Python 3.11, Linux.
# Guess:    eval() raises when a key is missing or types don't fit, as other CEL libraries do; `if value:` is enough to
#           tell whether a validation rule holds.
# Seen:     value() is the text of the error, a non-empty str: `if value:` accepts what the rule could not evaluate. Only
#           `value is True` is safe.
# Output:   {'steps': 99} -> False (bool): refused
#           {} -> 'NOT_FOUND: Key not found in map : "steps"' (str): accepted
#           {'steps': 'many'} -> 'UNKNOWN: No matching overloads found : _<=_(string, int64)' (str): accepted
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cel-expr-python==0.1.3
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from cel_expr_python import cel

rule = cel.NewEnv(variables={"self": cel.Type.DYN}).compile("self.steps <= 10")
seen = []
for document in ({"steps": 99}, {}, {"steps": "many"}):
    value = rule.eval(data={"self": document}).value()
    seen.append((type(value), bool(value)))
    print(f"{document} -> {value!r} ({type(value).__name__}): {'accepted' if value else 'refused'}")
sys.exit(0 if seen == [(bool, False), (str, True), (str, True)] else 1)
PYTHON
