#!/bin/sh
# seal.sh FOLDER [ARGUMENTS...]: compiles the Python files added to the folder since the last call, and gives all new files
# one date. The arguments are those of compileall. Called by the Dockerfiles, at the end of each layer.
#
# Two builds of the same packages must be identical. So compiled files contain no time of their source (they are never
# checked against it: nothing changes in an image, and the root file system is read-only), and hashes have no seed.
# Files of earlier layers are not touched: they would be stored a second time in this one.
set -eu
folder=$1
shift
sealed=@315532800 # 1980-01-01

find "$folder" -type f -name '*.py' -newermt "$sealed" | sort > /tmp/sources
PYTHONHASHSEED=0 python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash "$@" -i /tmp/sources
rm /tmp/sources
find "$folder" -newermt "$sealed" -exec touch --no-dereference --date "$sealed" {} +
