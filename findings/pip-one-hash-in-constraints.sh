#!/usr/bin/env bash
# pip 26.3 (and 23.2.1): one `--hash` in a *constraint* file puts the whole installation into hash-checking mode.
#
# A constraint file "only controls which version is installed", so one would expect a hash in it to be checked for that
# package alone, or to be ignored. Instead every other requirement is refused, although no constraint is on it:
#
#   ERROR: In --require-hashes mode, all requirements must have their versions pinned with ==. These do not:
#       iniconfig from https://files.pythonhosted.org/...
#
# And the other way round: a requirement with a range, which hash-checking mode refuses, is taken when a constraint pins it.
# So hashes can't be added to constraints step by step, and none at all where something is installed from a folder.
#
# Ends with 0 while pip behaves so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check 'pip==26.3'
pip() { venv/bin/python -m pip --disable-pip-version-check install --quiet --no-deps "$@"; }

# Of PyPI's six-1.17.0-py2.py3-none-any.whl.
echo 'six==1.17.0 --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274' > constraints.txt

if pip -c constraints.txt six iniconfig 2> refused.txt; then
  echo "changed: a package without a constraint is installed beside one whose constraint has a hash"
  exit 1
fi
grep -F 'In --require-hashes mode, all requirements must have their versions pinned with ==' refused.txt
if ! pip -c constraints.txt 'six>=1'; then
  echo "changed: a range that a constraint pins is refused in hash-checking mode"
  exit 1
fi
echo "as described: iniconfig was refused for six's hash, and six>=1 was installed"
