SIGINT in the middle of the laboratory's commands: it is said, what was measured is kept, the same command goes on.

## sensitivity: cut off at any report of progress, then resumed, the profile is the same to the byte
$ k() { kvdbg -q -nx -batch --precision f32 --threads 1 synthetic:tiny "$@"; }; what="sensitivity tests/dialogue/fox.jsonl -shares 0.2,0.5 -selectors sum,window -tokens 8 -o"
> k -ex "$what $T/whole.json" | sed 's/whole/part/' >"$T/out"; for n in $(seq 3 3 24); do k -ex "maint interrupt $n" -ex "$what $T/part.json" 2>&1 | tail -1; k -ex "$what $T/part.json" >"$T/again"; cmp "$T/part.json" "$T/whole.json" && cmp "$T/again" "$T/out"; rm -f "$T/part.json"; done
Interrupted before the first of 12 curves.
Interrupted before the first of 12 curves.
Interrupted: 2 of 12 curves are in $T/part.json, and the same command goes on from there.
Interrupted: 5 of 12 curves are in $T/part.json, and the same command goes on from there.
Interrupted: 6 of 12 curves are in $T/part.json, and the same command goes on from there.
Interrupted: 6 of 12 curves are in $T/part.json, and the same command goes on from there.
Interrupted: 8 of 12 curves are in $T/part.json, and the same command goes on from there.
Interrupted: 11 of 12 curves are in $T/part.json, and the same command goes on from there.

## sensitivity: means over prompts of one kind do not depend on what was read back
$ k() { kvdbg -q -nx -batch --precision f32 --threads 1 synthetic:tiny "$@"; }; what="-selectors sum,window -tokens 8 -o"; for i in 1 2 3; do echo "{\"kind\":\"x\",\"prompt\":\"row $i of a file of three rows, with the number $i in it\"}"; done >$T/r.jsonl
> k -ex "sensitivity $T/r.jsonl $what $T/whole.json" >$T/out; k -ex "maint interrupt 30" -ex "sensitivity $T/r.jsonl $what $T/part.json"; k -ex "sensitivity $T/r.jsonl $what $T/part.json" >$T/out; cmp $T/part.json $T/whole.json && echo same
Interrupted: 12 of 18 curves are in $T/part.json, and the same command goes on from there.
same

## sensitivity: cut off again and again
$ k() { kvdbg -q -nx -batch --precision f32 --threads 1 synthetic:tiny "$@"; }; what="sensitivity tests/dialogue/fox.jsonl -shares 0.2,0.5 -selectors sum,window -tokens 8 -o"
> k -ex "$what $T/whole.json" >"$T/out"; n=0; until k -ex "maint interrupt 9" -ex "$what $T/part.json" >"$T/out" 2>&1; do n=$((n + 1)); echo "[$?]"; cat "$T/out"; [ $n -lt 20 ] || break; done; cmp "$T/part.json" "$T/whole.json" && echo same
[0]
Interrupted: 2 of 12 curves are in $T/part.json, and the same command goes on from there.
[0]
Interrupted: 2 of 10 curves are in $T/part.json, and the same command goes on from there.
[0]
Interrupted: 2 of 8 curves are in $T/part.json, and the same command goes on from there.
[0]
Interrupted: 2 of 6 curves are in $T/part.json, and the same command goes on from there.
[0]
Interrupted: 2 of 4 curves are in $T/part.json, and the same command goes on from there.
same

## tune: the prompts before, the bounds of the search, no half profile
$ k() { kvdbg -q -nx -batch --precision f32 --threads 1 synthetic:tiny -ex "set policy.sinks 2 policy.recent 4" "$@"; }
> k -ex "sensitivity tests/dialogue/fox.jsonl -o $T/p.json -shares 0.1,0.3,0.6 -selectors sum,window -tokens 8" >"$T/out"; rm "$T/out"
> t() { k -ex "maint interrupt $1" -ex "tune $T/p.json tests/dialogue/fox.jsonl $2"; echo "[$?]"; }; t 3 "-ratio 0.4"; t 13 "-ratio 0.4,0.6"; t 14 "-kl 1"; t 18 "-kl 1"; t 14 "-ratio 0.4 -selectors sum,window,by-layer -o $T/q.json"; ls "$T"
Interrupted: 0 of 2 prompts were measured.
[130]
40 % of all tokens: L0 100.0% L1 10.0% L2 10.0%
x: the curves add up to 0.8589 nats a token, with equal budgets to 1.767
y: the curves add up to 0.4854 nats a token, with equal budgets to 1.423
40 %, measured over 1 prompt (f32, synthetic weights: timing only)
kind           prompts      seed KL  top-1   inverse KL  top-1   uniform KL  top-1     tuned KL  top-1
x                    1        1.506   0.0%        1.065  14.3%        1.401   0.0%       0.8006  42.9%
60 % of all tokens: L0 100.0% L1 60.0% L2 20.0%
x: the curves add up to 0.2053 nats a token, with equal budgets to 1.013
y: the curves add up to 0.1554 nats a token, with equal budgets to 0.7702
60 %, measured over 1 prompt (f32, synthetic weights: timing only)
kind           prompts      seed KL  top-1   inverse KL  top-1   uniform KL  top-1     tuned KL  top-1
x                    1        1.071  14.3%        1.326  28.6%        1.039  28.6%       0.2003  71.4%
Interrupted: 1 of 2 prompts were measured.
[130]
Interrupted: the smallest total that meets the bounds lies between 0 and 100 %.
[130]
Interrupted: the smallest total that meets the bounds lies between 25 and 50 %.
[130]
Interrupted before a selector was chosen: no profile was written.
[130]
p.json

## sweep: the combinations before, the prompts before
$ k() { kvdbg -q -nx -batch --precision f32 --threads 1 synthetic:tiny -ex 'set judge.tokens 8' "$@"; echo "[$?]"; }
> s() { k -p tests/dialogue/fox.txt -ex 'break decode' -ex run -ex "maint interrupt $1" -ex "sweep policy.ratio=0.2,0.4,0.6,1 -csv $T/s.csv"; }; for n in 1 13 18 24; do s $n 2>&1 | grep -v "^Star\|^Brea"; done; k -ex "maint interrupt 30" -ex "sweep policy.ratio=0.3,1 -prompts tests/dialogue/fox.jsonl -csv $T/s.csv"; ls "$T"
e

34	embed  token "e"  (synthetic weights)
Interrupted: 0 of 4 combinations were measured, and no file was written.
[130]
e

34	embed  token "e"  (synthetic weights)
Interrupted: 0 of 4 combinations were measured, and no file was written.
[130]
e

34	embed  token "e"  (synthetic weights)
1 combination from one prefill, 1 prompt, at most 8 steps of the full cache's reply (f32, cpu, synthetic weights: timing only)
policy.ratio           kl         top1         mass        share     kv_bytes
0.2                 2.198       0.00 %      35.01 %      38.71 %    125.4 KiB
Interrupted: 1 of 4 combinations were measured, and no file was written.
[130]
e

34	embed  token "e"  (synthetic weights)
3 combinations from one prefill, 1 prompt, at most 8 steps of the full cache's reply (f32, cpu, synthetic weights: timing only)
policy.ratio           kl         top1         mass        share     kv_bytes
0.2                 2.198       0.00 %      35.01 %      38.71 %    125.4 KiB
0.4                 2.197       0.00 %      36.04 %      40.14 %    126.4 KiB
0.6                 1.421      14.29 %      63.06 %      59.86 %    140.3 KiB
Interrupted: 3 of 4 combinations were measured, and no file was written.
[130]
2 combinations from one prefill, 1 prompt, at most 8 steps of the full cache's reply (f32, synthetic weights: timing only)
policy.ratio           kl         top1         mass        share     kv_bytes
0.3                 2.617       0.00 %      32.54 %      30.06 %    135.3 KiB
1                       0     100.00 %     100.00 %     100.00 %    222.2 KiB
Interrupted: 1 of 2 prompts were measured, and no file was written.
[130]

## evaluate: what the file has is not measured again
$ printf '{"id":"a","prompt":"the quick brown fox jumps over the lazy dog","answers":["dog"]}\n{"id":"b","prompt":"two cats sat on a mat","answers":["mat"]}\n' >$T/rows
> e() { kvdbg -nx -q -batch --precision f32 --threads 1 synthetic:tiny -ex "$1" -ex "evaluate $T/rows -policy full -policy seed -policy uniform -n 4 -judge 3 $2"; echo "[$?]"; }; cold() { sed -E 's/"[a-z]*_us":[^,]*,//g' $1; }
> e echo "-o $T/whole" >$T/out; for n in 1 2 4 6; do e "maint interrupt $n" "-o $T/part" 2>&1 | tail -2; grep -c . $T/part; e echo "-o $T/part" >$T/out; cold $T/whole >$T/a; cold $T/part >$T/b; cmp $T/a $T/b && echo same; rm $T/part; done; e "maint interrupt 3" "" 2>&1 | tail -2
Interrupted after 0 results: $T/part has them, and the same command goes on from there.
[130]
0
same
Interrupted after 1 result: $T/part has them, and the same command goes on from there.
[130]
1
same
Interrupted after 3 results: $T/part has them, and the same command goes on from there.
[130]
3
same
Interrupted after 5 results: $T/part has them, and the same command goes on from there.
[130]
5
same
Interrupted after 2 results, which no -o FILE keeps.
[130]

## blame: the best of the sets that were scored; regret
$ k() { kvdbg -q -nx -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt synthetic:tiny -ex 'set policy.ratio 0.5 decode.tokens 12 judge.tokens 12' -ex run "$@"; echo "[$?]"; }
> for n in 1 16 30; do k -ex "maint interrupt $n" -ex blame | tail -4; done; k -ex "maint interrupt 2" -ex "regret -n 1" | tail -2; k -ex 'blame -max 5' | tail -2
Interrupted before the full cache's reply was read.
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
e was$ s� fic� and d
[Request finished: 12 reply tokens, cut by decode.tokens or by the context; f32, cpu, synthetic weights: timing only]
[130]
Interrupted after 1 kept set: that is the best so far.
... 123 more
KL mean 1.57 -> 0, top-1 0.0 % -> 100.0 %; decoding over that cache confirms it.
The search was cut off: a smaller set may do.
[130]
Interrupted after 20 kept sets: that is the best so far.
... 123 more
KL mean 1.57 -> 0, top-1 0.0 % -> 100.0 %; decoding over that cache confirms it.
The search was cut off: a smaller set may do.
[130]
Interrupted before the full cache's reply was read.
[Request finished: 12 reply tokens, cut by decode.tokens or by the context; f32, cpu, synthetic weights: timing only]
[130]
The search ended early, after 5 kept sets (-max): a smaller set may do.
[0]

