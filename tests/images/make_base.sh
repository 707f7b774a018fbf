#!/bin/sh
# make_base.sh FOLDER: a root file system that stands in for python:3.11-slim-bookworm where no registry is reached.
#
# It is Debian 12 with its own Python 3.11: enough to build the images on, and to run them. Packages are unpacked and not
# configured, which takes seconds instead of a minute; what that would have made and we need is made here. It is for tests:
# nobody should ship an image on it. Needs mmdebstrap, root and a Debian mirror.
set -eu
root=$1

# binutils: real bases get it by apt while the image is made.
mmdebstrap --quiet --variant=extract --format=directory \
    --include=base-files,base-passwd,bash,binutils,ca-certificates,coreutils,dash,findutils,grep,libc-bin,python3,python3-venv,sed \
    bookworm "$root"

cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
# Nothing that slim images leave out, and nothing of the machine that made it.
rm -rf "$root/usr/share/doc" "$root/usr/share/man" "$root/usr/share/locale"
rm -rf "$root/var/lib/apt" "$root/var/cache/apt" "$root/etc/apt" "$root/etc/hostname" "$root/etc/resolv.conf"
