#!/bin/sh
# Copies the data folder of a node on embedded SQLite into a new folder, while the node runs or when it does not.
#
#   deploy/backup/embedded.sh DATA_DIR TARGET [--without-key]
#
# The copy is a data folder itself: to restore, put it where DATA_DIR points and start the node. Run it as the user that the node
# runs as, on the node's machine. Everything that was acknowledged before it began is in the copy.
#
# The order matters. What was signed (checkpoints/) is copied before the logs, because a log must have at least what was signed.
# The control plane is copied after them, because it hands out numbers that logs refer to, and must not hand them out again.
set -eu
umask 077

usage() {
    echo "usage: $0 DATA_DIR TARGET [--without-key]" >&2
    exit 2
}

fail() {
    echo "$0: $*" >&2
    exit 1
}

# copy NAME: one database as it was at one moment, whatever is written meanwhile. Unlike `.backup` this never begins anew when
# somebody writes; the write-ahead log grows until it is done.
copy() {
    sqlite3 -batch -bail -readonly -cmd '.timeout 30000' "$data/$1" "VACUUM INTO '$part/$1'" || fail "$data/$1 cannot be copied"
    verdict=$(sqlite3 -batch -readonly "$part/$1" 'PRAGMA quick_check(1)') || verdict='it cannot be read'
    [ "$verdict" = ok ] || fail "the copy of $1 is damaged: $verdict"
}

[ $# -ge 2 ] && [ $# -le 3 ] || usage
data=${1%/}
target=${2%/}
part=$target.part
with_key=yes
if [ $# = 3 ]; then
    [ "$3" = --without-key ] || usage
    with_key=no
fi
command -v sqlite3 >/dev/null || fail "sqlite3 is needed"
[ -f "$data/control.db" ] || fail "there is no store in $data"
[ ! -e "$target" ] || fail "$target is there already"
case $target in *\'*) fail "the target's name may have no quotes" ;; esac

rm -rf "$part"
mkdir -p "$part"
if [ -d "$data/checkpoints" ]; then
    cp -R -p "$data/checkpoints" "$part/checkpoints"
fi
for log in "$data"/*.db; do
    name=${log##*/}
    [ "$name" = control.db ] || copy "$name"
done
copy control.db
# A key that MASTER_KEY gives is not in the folder: it is for whoever keeps that to keep.
if [ $with_key = yes ] && [ -f "$data/master.key" ]; then
    cp -p "$data/master.key" "$part/master.key"
fi
# Nothing is a backup before it is on disk, and nothing has the target's name before it is whole.
sync
mv "$part" "$target"
