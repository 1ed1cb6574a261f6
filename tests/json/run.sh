#!/bin/sh
# JSON Lines as TAP: every dialogue replayed, tokens, tables, hostile input, rows of data. usage: run.sh    (from the top)
set -u
kvdbg=${KVDBG:-build/kvdbg}
case $kvdbg in /*) ;; *) kvdbg=$PWD/$kvdbg ;; esac
here=tests/json
top=$PWD
export TERM=dumb LC_ALL=C.UTF-8 OMP_WAIT_POLICY=passive
T=$(mktemp -d) || exit 2
export T
trap 'rm -rf "$T"' EXIT
trap 'exit 130' INT TERM
HOME=$T
export HOME
number=0 failed=0

command -v python3 >/dev/null || { echo "1..0 # SKIP no python3 to read JSON with"; exit 0; }

ok() { # status, title; what went wrong is in $T/why
    number=$((number + 1))
    if [ "$1" = 0 ]; then echo "ok $number - $2"; return; fi
    failed=1
    echo "not ok $number - $2"
    head -20 "$T/why" | cut -c 1-400 | sed 's/^/# /'
}
check() { # title, then what check.py takes; objects in $T/out
    title=$1
    shift
    python3 $here/check.py "$@" <"$T/out" >"$T/why" 2>&1
    ok $? "$title"
}
is() { # title, got, expected
    printf 'got:      %s\nexpected: %s\n' "$2" "$3" >"$T/why"
    [ "$2" = "$3" ]
    ok $? "$1"
}
tiny() { "$kvdbg" --json -nx synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt "$@"; }
# The values of a key, one a line.
values() { python3 -c 'import json,sys
for line in sys.stdin:
    o = json.loads(line)
    if sys.argv[1] in o: print(o[sys.argv[1]])' "$1"; }

# --- every dialogue ---------------------------------------------------------------------------------------------------

for script in tests/dialogue/*.kv; do
    name=$(basename "$script" .kv)
    if grep -q '^# needs model' "$script" && [ ! -f models/smollm2-135m-instruct-q4_1.gguf ]; then
        number=$((number + 1))
        echo "ok $number - dialogue $name # SKIP no model: make model"
        continue
    fi
    args=$(sed -n '1s/^# kvdbg //p' "$script")
    if grep -q '^# pipe' "$script"; then
        eval "timeout 300 '$kvdbg' --json -q -nx $args" <"$script" >"$T/out" 2>"$T/err"
    else
        eval "timeout 300 '$kvdbg' --json -q -nx -batch $args -x '$script'" </dev/null >"$T/out" 2>"$T/err"
    fi
    status=$?
    cat "$T/out" >>"$T/all"
    check "dialogue $name" session $status
done
cp "$T/all" "$T/out"
check "rows have the columns of the console's tables" columns

# --- commands and answers ---------------------------------------------------------------------------------------------

tiny >"$T/out" 2>"$T/err" <<'END'
{"token": 1, "cmd": "set decode.tokens 3"}
{"token": "two", "cmd": "run"}
3print E[1]
{"token": 4, "cmd": "nonsense"}
{"cmd": "source tests/json/nested.kv", "token": 5}
{"token": 6, "cmd": ""}
{"token": 7}
info budget
{"token": 8, "cmd": "# a comment"}
{"token": 80, "cmd": "define twice\nprint $arg0 * 2\nend"}
{"token": 81, "cmd": "twice 21"}
{"token": 82, "cmd": "print 1\nnonsense\nprint 2"}
{"token": 83, "cmd": "if 1\nprint 5"}
{"token": 84, "cmd": "while 1"}
85if 2 > 1
print 6
end
{"token": 9007199254740992, "cmd": "quit 4"}
{"token": 10, "cmd": "print 1"}
END
status=$?
is "quit's status" $status 4
check "a session from standard input" session $status
check "tokens come back, each answered once" answers 1 two 3 4 5 6 7 8 80 81 82 83 84 85 9007199254740992

printf 'run\nprint entropy\nprint nothing\nprint log(0-1)\nprint "a\\"b"\nprint k[0][0][0][0]\n' | tiny -ex 'set decode.tokens 2' >"$T/out" 2>/dev/null
is "a value's shape" "$(values shape <"$T/out")" "[3, 4]"
is "the first number of a value" "$(values value <"$T/out" | sed -n '1s/, .*//p' | cut -c 1-8)" "[[1.2148"

tiny -ex 'set decode.tokens 2' -ex run >"$T/out" 2>"$T/err" <<'END'
1shell cat; echo "said to nobody" >&2; echo one
2pipe info kept | wc -l
{"token": 3, "cmd": "shell exit 3"}
{"token": 4, "cmd": "print $_shell_exitcode"}
{"token": 5, "cmd": "set logging enabled on"}
{"token": 6, "cmd": "pipe print nonsense | cat"}
END
check "programs that are run say nothing between the lines" session 1
is "what programs write is text" "$(grep '"token":[12],' "$T/out" | values text | tr -d ' \n')" "one5"
is "a pipe's rows are its command's" "$(grep '"token":2,' "$T/out" | values rows | grep -c positions)" 1
is "a program's status" "$(grep '"token":4,' "$T/out" | values value)" 3
check "programs: an answer each" answers 1 2 3 4 5 6

# --- hostile input ----------------------------------------------------------------------------------------------------

python3 - >"$T/in" <<'END'
import sys
w = sys.stdout.buffer.write
bad = [b"{", b"{}", b"{\"cmd\":1}", b"{\"cmd\":null}", b"{\"cmd\":[\"p 1\"]}", b"{\"cmd\":\"p 1\"} x", b"{\"cmd\":\"p 1\",}",
       b"{'cmd':'p 1'}", b"{\"cmd\":\"p 1\",\"more\":1}", b"{\"cmd\":\"p 1\",\"token\":1.5}", b"{\"cmd\":\"p 1\",\"token\":[1]}",
       b"{\"cmd\":\"p 1\",\"token\":{}}", b"{\"cmd\":\"p 1\",\"token\":1e300}", b"{\"cmd\":\"p 1\",\"token\":true}",
       b"{\"cmd\":\"p \\u0000 1\"}", b"{\"cmd\":\"p \xff 1\"}", b"{\"cmd\":\"\\ud800\"}",
       b"{\"cmd\":\"p 1", b"\x00", b"p 1\x00p 2", b"\xff\xfe", b"\xc3", b"1234567890123456p 1", b"[1]", b"null", b"12",
       b"{" * 3000, b"[" * 60000, b"{\"cmd\":" * 9000, b"{\"a\":" * 2000 + b"1" + b"}" * 2000, b"x" * 2000000,
       b"{\"cmd\":\"" + b"p" * 5000 + b"\"}", b"{\"cmd\":\"" + b"\\u0041" * 12000 + b"\"}", b"p " + b"(" * 900 + b"1",
       b"{\"cmd\":\"foo \xf0\x9f\x98\x80 \\ud83d\\ude00 \\u2028\"}", b"\r{}\r", b"7", b"6E66666666666", b"7 ", b"-1print 1"]
for line in bad:
    w(line + b"\n")
w(b"{\"token\":99,\"cmd\":\"print 41+1\"}\n")
w(b"{\"token\":100,\"cmd\":\"print 1")  # the end comes inside a line
END
tiny <"$T/in" >"$T/out" 2>"$T/err"
is "hostile input shows in the status" $? 1
check "hostile input: the answers are objects" session 1
is "hostile input: an error each, and no more" "$(grep -c '"type":"error"' "$T/out")" 40
is "hostile input: the session goes on" "$(grep '"token":99' "$T/out" | values value)" 42
is "hostile input: nothing on stderr" "$(head -c 300 "$T/err")" ""

printf '{"token":1,"cmd":"print 1"}\n' | tiny >/dev/full 2>"$T/err"
is "a full disk behind the objects" "$? $(cat "$T/err")" "1 Cannot write the output: No space left on device."

# --- the page and the client ------------------------------------------------------------------------------------------

KVDBG=$kvdbg python3 $here/check.py page sessions/JSONL.md >"$T/why" 2>&1
ok $? "the transcript of sessions/JSONL.md"

KVDBG=$kvdbg timeout 60 python3 sessions/kvdbg_client.py synthetic:tiny tests/dialogue/fox.txt >"$T/client" 2>"$T/why"
ok $? "the Python client's example"
is "the Python client: layers, and a judgement for each ratio" \
    "$(grep -c '^layer' "$T/client") $(grep -c '^ratio .* entries kept, KL [0-9.]* nats' "$T/client")" "3 2"
is "the Python client has at most 100 lines" "$(($(wc -l <sessions/kvdbg_client.py) <= 100))" 1
cat >"$T/client.py" <<'END'
import sys
sys.path.insert(0, "sessions")
from kvdbg_client import Kvdbg, KvdbgError
kv = Kvdbg("synthetic:tiny", "--text", "hello")
assert kv.value("1 / 2.0") == 0.5 and kv.value("$nothing") is None
try:
    kv.command("assert 1 == 2")
except KvdbgError as e:
    assert e.status == 3 and "Assertion failed" in str(e), e
else:
    raise SystemExit("no exception")
assert kv.command('print "a\\nb \u2028 \u00e9"')["value"] == "a\nb \u2028 \u00e9"
assert kv.close() == 3
try:
    Kvdbg("no-such-model")
except KvdbgError as e:
    assert e.status == 4, e
END
KVDBG=$kvdbg timeout 60 python3 "$T/client.py" >"$T/why" 2>&1
ok $? "the Python client: values, failures, exit status"

# --- rows of data -----------------------------------------------------------------------------------------------------

for i in 1 2 3 4 5; do echo "{\"prompt\": \"prompt number $i\", \"n\": $i}"; done >"$T/rows"
echo '{"prompt": 6}' >>"$T/rows"
rows() {
    "$kvdbg" --json -nx synthetic:tiny --precision f32 --for-each "$T/rows" --keep-going -ex 'set decode.tokens 2' \
        -ex run -ex 'info kept' -ex 'assert $n != 3' "$@" 2>>"$T/sums"
}
rows >"$T/out"
is "rows of data: the first failure's status" $? 3
check "rows of data: a session each" session 1
is "rows of data: every object has its row" "$(values row <"$T/out" | sort | uniq | tr '\n' ' ')" "0 1 2 3 4 5 "
: >"$T/shards"
for n in 1 2 3 4; do rows --shard $n/4 >>"$T/shards"; done
cmp "$T/out" "$T/shards" >"$T/why" 2>&1
ok $? "rows of data: shares concatenate to the whole, byte for byte"
is "rows of data: one line of summary" "$(sed -n 1p "$T/sums")" \
    '6 rows: 4 passed, 2 failed (rows 2, 5; row 2: Assertion failed: $n != 3.)'

# --- random commands --------------------------------------------------------------------------------------------------

mkdir "$T/random"
cp tests/dialogue/*.txt tests/dialogue/*.kv "$T/random"
for seed in $(seq 101 $((100 + ${JSON_SEEDS:-3}))); do
    (
        cd "$T/random" || exit
        awk -v seed="$seed" -v lines=300 -f "$top/tests/stream/generate.awk" ./*.kv | tr -d '\000-\010' >script
        # As one whole script, then line by line, each with its token.
        OMP_NUM_THREADS=1 timeout 120 "$kvdbg" --json -nx -batch --keep-going --precision f32 -p fox.txt -x script synthetic:tiny >"$T/out" 2>"$T/err"
        echo $? >"$T/status"
        python3 -c 'import json, sys
for number, line in enumerate(sys.stdin.buffer):
    line = line.decode("utf-8", "replace").rstrip("\n")
    print(json.dumps({"token": number, "cmd": line}))' <script >requests
        OMP_NUM_THREADS=1 timeout 120 "$kvdbg" --json -nx --precision f32 -p fox.txt synthetic:tiny <requests >"$T/out2" 2>>"$T/err"
        echo $? >"$T/status2"
    )
    check "300 random commands of seed $seed" session "$(cat "$T/status")"
    cp "$T/out2" "$T/out"
    check "the same, line by line" session "$(cat "$T/status2")"
    # quit is a command, too
    is "the same: an answer for each token" "$(values token <"$T/out" | sort -n | uniq | wc -l)" \
        "$(($(values token <"$T/out" | tail -1) + 1))"
done

# --- interrupt --------------------------------------------------------------------------------------------------------

head -c 5000 sessions/tour.txt >"$T/p"
(printf '1run\n'; sleep 4; printf '2print 1\n') |
    timeout --preserve-status -s INT 2 "$kvdbg" --json -nx synthetic:smollm2-135m --precision f32 --threads 1 -p "$T/p" >"$T/out" 2>"$T/err"
is "SIGINT: the session goes on" $? 0
is "SIGINT: a stop with its reason" "$(values reason <"$T/out")" interrupt
check "SIGINT: both commands are answered" answers 1 2

echo "1..$number"
[ $failed = 0 ]
