#!/bin/sh
# code.sh COMMAND...: installs the packages in /src into /code, with the paths of the final image, and only with the named
# commands. Called by the Dockerfiles, in the stage `code`.
set -eu
here=$(dirname "$0")

touch /src/README.md # pyproject.toml names it.
SOURCE_DATE_EPOCH=315532800 "$here/../bin/python" -m pip wheel --quiet --no-deps --no-index --no-build-isolation \
    --disable-pip-version-check --wheel-dir /dist /src
[ -e /opt/venv ] || python3 -m venv --without-pip /opt/venv
sh "$here/install.sh" /opt/venv/bin/python --no-deps --no-index --root /code /dist/*.whl
for command in /code/opt/venv/bin/*; do
    case " $* " in
        *" ${command##*/} "*) ;;
        *) rm "$command" ;;
    esac
done
sh "$here/seal.sh" /code -s /code -p /
