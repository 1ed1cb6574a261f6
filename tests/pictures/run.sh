#!/bin/sh
# Pictures as others read them (python3 with its zlib, ImageMagick or netpbm where they are), and drawn again by their
# recipes to the same bytes, as TAP. usage: run.sh     (from the top; $KVDBG = the program)
set -u
KVDBG=${KVDBG:-build/kvdbg}
here=tests/pictures
export TERM=dumb LC_ALL=C.UTF-8
T=$(mktemp -d) || exit 2
trap 'rm -rf "$T"' EXIT
number=0 failed=0
prompt=tests/dialogue/fox.txt

result() { # status, title, what was said
    number=$((number + 1))
    if [ "$1" = 0 ]; then echo "ok $number - $2"; return; fi
    failed=$((failed + 1))
    echo "not ok $number - $2"
    sed 's/^/# /' "$3" | head -20
}
skip() { number=$((number + 1)); echo "ok $number - $1 # SKIP $2"; }
kvdbg() { "$KVDBG" -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p "$prompt" "$@"; }

# name: what to draw, in one run
pictures='entropy: entropy
score: score -log
kept: kept
budget: budget
attn: attn layer 1 head 2 -log
rows: attn layer 2 head 0 rows 90..last pool max map viridis
entropy-q: entropy_q
entropy-q-head: entropy_q head 1 -clip 2
attn-mean: attn layer 2 head mean -log
heads: attn layer 1 heads -log
layers: attn head 3 layers -rank
attn-vs: attn layer 1 head 0 -vs full
attn-vs-mean: attn layer 2 head mean rows 80..last -vs full -clip 1
kept-vs: kept -vs uniform
curve: curve layer 1 -log
kl: kl'
raw='entropy: entropy
score: score
kept: kept
attn: attn layer 1 head 2
rows: attn layer 2 head 0 rows 90..last cols 3..50
entropy-q: entropy_q head mean
attn-mean: attn layer 2 head mean
attn-vs: attn layer 1 head 0 -vs full
kept-vs: kept -vs uniform
curve: curve layer 1'

if ! command -v python3 >/dev/null; then echo "1..0 # SKIP no python3"; exit 0; fi

set -- -ex 'set policy.ratio 0.4 decode.tokens 6' -ex run -ex 'diff steps 6'
old_ifs=$IFS
IFS='
'
for line in $pictures; do set -- "$@" -ex "export png $T/${line%%:*}.png${line#*:}"; done
for line in $raw; do
    set -- "$@" -ex "export png -raw16 $T/${line%%:*}.raw.png${line#*:}" -ex "export npy $T/${line%%:*}.npy${line#*:}"
done
IFS=$old_ifs
kvdbg "$@" >"$T/log" 2>&1
result $? "all are drawn" "$T/log"

again=
for png in "$T"/*.png; do
    name=$(basename "$png" .png)
    case $name in
    *.raw) python3 $here/check.py raw16 "$png" "${png%.raw.png}.npy" >"$T/said" 2>&1 ;;
    *) python3 $here/check.py palette "$png" >"$T/said" 2>&1 ;;
    esac
    result $? "$name: $(tail -1 "$T/said")" "$T/said"
    { python3 $here/check.py notes "$png" >"$T/theirs" && kvdbg -ex "info png $png" | tail -n +2 | diff - "$T/theirs"; } >"$T/said" 2>&1
    result $? "$name: the recipe as python reads it" "$T/said"
    kvdbg -ex "source -png $png" >"$T/said" 2>&1
    result $? "$name: drawn again to the same bytes" "$T/said"
    again="$again $png"
done

if command -v identify >/dev/null; then
    # shellcheck disable=SC2086
    identify -regard-warnings $again >"$T/said" 2>&1
    result $? "ImageMagick reads them all" "$T/said"
else skip "ImageMagick reads them all" "no identify: apt-get install imagemagick"; fi
if command -v pngtopnm >/dev/null || command -v pngtopam >/dev/null; then
    tool=$(command -v pngtopam || command -v pngtopnm)
    for png in $again; do "$tool" "$png" >/dev/null || echo "$png"; done >"$T/said" 2>&1
    [ ! -s "$T/said" ]
    result $? "netpbm reads them all" "$T/said"
else skip "netpbm reads them all" "no pngtopam: apt-get install netpbm"; fi

# What cannot be had is said.
"$KVDBG" -q -nx -batch synthetic:tiny --text 'another text' -ex "source -png $T/kept.png" >"$T/said" 2>&1
[ $? = 1 ] && grep -q "prompt, of 93 tokens and sha256 deb3e93f" "$T/said"
result $? "another prompt is refused by name" "$T/said"
"$KVDBG" -q -nx -batch synthetic:smollm2-135m -p "$prompt" -ex "source -png $T/kept.png" >"$T/said" 2>&1
[ $? = 1 ] && grep -q "of another model, synthetic:tiny" "$T/said"
result $? "another model is refused by name" "$T/said"
python3 - "$T/kept.png" "$T/none.png" <<'END' >"$T/said" 2>&1
import struct, sys, zlib
def chunk(kind, body): return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
open(sys.argv[2], "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)) +
    chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b""))
END
kvdbg -ex "source -png $T/none.png" >"$T/said" 2>&1
[ $? = 1 ] && grep -q "holds no recipe" "$T/said"
result $? "a picture of others is refused" "$T/said"

# Recipes that were tampered with: each is a failed command and nothing worse.
count=$(python3 $here/damaged.py "$T/kl.png" "$T")
for png in "$T"/damaged*.png; do echo "source -png $png"; done >"$T/script"
kvdbg --keep-going -x "$T/script" >"$T/said" 2>&1
status=$?
complaints=$(grep -c 'Error in sourced command file' "$T/said")
[ $status = 1 ] && [ "$complaints" = "$count" ]
result $? "$count damaged recipes are refused, one by one" "$T/said"

# The screen as a picture: the same bytes every time, and text and grounds that another reader finds.
printf 'size 60x20\nline run\nshot %s\nshot %s\n' "$T/shot.png" "$T/shot2.png" >"$T/keys"
"$KVDBG" -q -nx synthetic:tiny --precision f32 --threads 1 -p "$prompt" --keys "$T/keys" >"$T/said" 2>&1 &&
    cmp "$T/shot.png" "$T/shot2.png" >>"$T/said" 2>&1 && python3 $here/check.py shot "$T/shot.png" >>"$T/said" 2>&1
result $? "the screen as a picture: $(tail -1 "$T/said")" "$T/said"

# The gallery.
python3 $here/gallery.py "$KVDBG" >"$T/said" 2>&1
result $? "the gallery is up to date: $(tail -1 "$T/said")" "$T/said"
if [ -f models/smollm2-135m-instruct-q4_1.gguf ]; then
    "$KVDBG" -q -nx -batch --threads 2 -p sessions/tour.txt -ex "source -png sessions/pictures/kept.png $T/again.png" >"$T/said" 2>&1
    for png in "$T/again.png" sessions/pictures/kept.png; do
        python3 $here/check.py notes "$png" | grep -v kvdbg:backend >"$T/$(basename "$png").notes"
    done
    diff "$T/kept.png.notes" "$T/again.png.notes" >>"$T/said" 2>&1
    result $? "a picture of the gallery drawn again has the same recipe" "$T/said"
else skip "a picture of the gallery drawn again has the same recipe" "no model: make model"; fi

# Long prompts: memory stays that of the picture.
case $KVDBG in
*asan*) skip "the memory of a long map" "the sanitizer keeps what is freed" ;;
*)
    $here/large.sh 6000 1024 16 >"$T/said" 2>&1
    result $? "$(tail -1 "$T/said")" "$T/said"
    ;;
esac

echo "1..$number"
[ "$failed" = 0 ]
