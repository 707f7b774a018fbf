#!/bin/sh
# install.sh PYTHON ARGUMENTS...: installs packages for that Python, with the pip of tools.txt.
# Called by the Dockerfiles. Wheels only: nothing is compiled, and no package's own code runs during a build.
set -eu
python=$1
shift

# The pip configuration of the build machine (images/pip_settings.py).
if [ -e /run/secrets/pip ]; then
    export PIP_CONFIG_FILE=/run/secrets/pip
fi
tools=$(dirname "$0")/..
"$tools/bin/python" -m pip --python "$python" --no-cache-dir --disable-pip-version-check install \
    --quiet --root-user-action ignore --only-binary :all: --no-compile --no-warn-script-location "$@"
