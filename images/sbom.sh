#!/bin/sh
# sbom.sh FILE: writes the SBOM (CycloneDX) of all Python packages in /opt/venv. Called by the Dockerfiles after the installation.
set -eu

mkdir -p "$(dirname "$1")"
"$(dirname "$0")/../bin/python" -m cyclonedx_py environment --output-reproducible --output-file "$1" /opt/venv/bin/python
touch --date @315532800 "$1" # As in seal.sh.
