#!/bin/sh
# seal.sh FOLDER [ARGUMENTS...]: compiles the Python that came into the folder since it was sealed last, and gives all that
# came one time. The arguments are compileall's. Called by the Dockerfiles, at the end of each layer.
#
# Two builds of the same packages must be the same bytes. So compiled files carry no time of their source (they are never
# checked against it: nothing changes in an image, and the root file system is read-only anyway), and hashes have no seed.
# What an earlier layer has is not touched: it would come a second time with this one.
set -eu
folder=$1
shift
sealed=@315532800 # 1980-01-01

find "$folder" -type f -name '*.py' -newermt "$sealed" | sort > /tmp/sources
PYTHONHASHSEED=0 python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash "$@" -i /tmp/sources
rm /tmp/sources
find "$folder" -newermt "$sealed" -exec touch --no-dereference --date "$sealed" {} +
