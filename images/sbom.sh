#!/bin/sh
# sbom.sh FILE: the list of all Python packages of /opt/venv (an SBOM, as CycloneDX has it). Called by the Dockerfiles, when
# all of them are there.
set -eu

mkdir -p "$(dirname "$1")"
"$(dirname "$0")/../bin/python" -m cyclonedx_py environment --output-reproducible --output-file "$1" /opt/venv/bin/python
touch --date @315532800 "$1" # As seal.sh does.
