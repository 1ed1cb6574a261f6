## evaluate: three policies over rows of two kinds, one prefill a row
$ printf '{"id":"a","document":"the quick brown fox jumps over the lazy dog, and the dog sleeps on and on in the warm sun","reference":"a fox jumps"}\n{"id":"b","prompt":"two cats sat on a mat. the first cat was black, the other was white.\\n\\nWhich one was white?","answers":["other"]}\n' >$T/rows
> kvdbg -nx -q -batch --precision f32 --threads 1 synthetic:tiny -ex 'set policy.sinks 1' -ex "evaluate $T/rows -policy full -policy uniform -policy 'last: uniform policy.selector=last policy.recent=4' -ratio 0.5,0.9 -n 6 -judge 5 -o $T/res" | sed -E -e 's/ +[0-9]+\.[0-9]+( +[0-9.]+)$/  (time)\1/' -e 's/ +[0-9.]+ ms +-?[0-9.]+ %$/  (time)/' -e 's/made first: .*/made first: (peak)/'; grep -c . $T/res

2 rows, 50 % of the cache kept; means over rows (f32, synthetic weights: timing only)
policy                  rouge1  rouge2  rougeL   rLsum  found %  exact %  KL nats  top-1 %   KV MiB  kept %  ms/tok  tokens
full                    0.0000  0.0000  0.0000  0.0000      0.0      0.0   0.0000    100.0     0.07   100.0  (time)     6.0
uniform                 0.3333  0.0000  0.3333  0.3333      0.0      0.0   1.4096      0.0     0.04    51.6  (time)     6.0
last                    0.0000  0.0000  0.0000  0.0000      0.0      0.0   0.9423     12.5     0.04    50.2  (time)     6.0
rougeL F, difference by row: mean [95 % interval, bootstrap of 10000]
  uniform                 to full     +0.3333 [+0.3333, +0.3333]
  last                    to full     +0.0000 [+0.0000, +0.0000]  to uniform  -0.3333 [-0.3333, -0.3333]
answers found, difference by row: mean [95 % interval, bootstrap of 10000]
  uniform                 to full     +0.0000 [+0.0000, +0.0000]
  last                    to full     +0.0000 [+0.0000, +0.0000]  to uniform  +0.0000 [+0.0000, +0.0000]
KL, nats a token, difference by row: mean [95 % interval, bootstrap of 10000]
  uniform                 to full     +1.4096 [+1.1155, +1.7037]
  last                    to full     +0.9423 [+0.8591, +1.0255]  to uniform  -0.4673 [-0.8445, -0.0900]
saved against full:             KV           weights + KV        decode time
  uniform                 38.6 KiB  44.8 %  632.3 KiB    4.72 %  (time)
  last                    37.7 KiB  46.1 %  631.5 KiB    4.85 %  (time)

2 rows, 90 % of the cache kept; means over rows (f32, synthetic weights: timing only)
policy                  rouge1  rouge2  rougeL   rLsum  found %  exact %  KL nats  top-1 %   KV MiB  kept %  ms/tok  tokens
full                    0.0000  0.0000  0.0000  0.0000      0.0      0.0   0.0000    100.0     0.07   100.0  (time)     6.0
uniform                 0.0000  0.0000  0.0000  0.0000      0.0      0.0   0.3852     25.0     0.06    90.0  (time)     6.0
last                    0.0000  0.0000  0.0000  0.0000      0.0      0.0   0.1103     87.5     0.06    90.0  (time)     6.0
rougeL F, difference by row: mean [95 % interval, bootstrap of 10000]
  uniform                 to full     +0.0000 [+0.0000, +0.0000]
  last                    to full     +0.0000 [+0.0000, +0.0000]  to uniform  +0.0000 [+0.0000, +0.0000]
answers found, difference by row: mean [95 % interval, bootstrap of 10000]
  uniform                 to full     +0.0000 [+0.0000, +0.0000]
  last                    to full     +0.0000 [+0.0000, +0.0000]  to uniform  +0.0000 [+0.0000, +0.0000]
KL, nats a token, difference by row: mean [95 % interval, bootstrap of 10000]
  uniform                 to full     +0.3852 [+0.1025, +0.6678]
  last                    to full     +0.1103 [+0.0427, +0.1778]  to uniform  -0.2749 [-0.6251, +0.0753]
saved against full:             KV           weights + KV        decode time
  uniform                 63.4 KiB   9.4 %  657.1 KiB    0.99 %  (time)
  last                    63.4 KiB   9.4 %  657.1 KiB    0.99 %  (time)
ROUGE: F of Google rouge-score, stemmer off.  KL(full || policy): mean over the full cache's reply, fed to both.
KV MiB: as allocated, room for the reply included; kept %: of the prompt's tokens, over all layers.
Peak memory of this process, which every policy shares for the whole cache is made first: (peak)
10

## evaluate: what is in the file is not measured again, and a line cut short is passed over
$ printf '{"id":"a","prompt":"the quick brown fox jumps over the lazy dog","answers":["dog"]}\n' >$T/rows
> e() { kvdbg -nx -q -batch --precision f32 --threads 1 synthetic:tiny -ex "evaluate $T/rows -policy full -policy seed -n 4 -judge 3 -o $T/res" >/dev/null; grep -c . $T/res; }
> e; e; head -c 60 $T/res >$T/cut; cat $T/res $T/cut >$T/both; mv $T/both $T/res; e; head -1 $T/res >$T/one; mv $T/one $T/res; e
2
2
3
2

## evaluate: shards together are all rows
$ for i in 1 2 3; do printf '{"id":"%s","prompt":"row number %s of a file of three rows","answers":["x"]}\n' $i $i; done >$T/rows
> e() { kvdbg -nx -q -batch --precision f32 --threads 1 synthetic:tiny -ex "evaluate $T/rows -policy full -n 2 -judge 0 $1"; }
> e "-shard 1/2 -o $T/1" >/dev/null; e "-shard 2/2 -o $T/2" >/dev/null; cat $T/1 $T/2 >$T/all; e "-o $T/all" | sed -n 2p; grep -c . $T/all; e "-rows 1:2" | sed -n 2p
3 rows, 25 % of the cache kept; means over rows (f32, synthetic weights: timing only)
3
1 row, 25 % of the cache kept; means over rows (f32, synthetic weights: timing only)

## evaluate: compress before the question is read
$ printf '{"prompt":"a b c d e f g h\\n\\nwhat is f?","answers":["f"]}\n' >$T/rows
> kvdbg -nx -q -batch --precision f32 --threads 1 synthetic:tiny -ex "evaluate $T/rows -policy full -policy seed -apart -n 2 -judge 2 -o $T/res" | sed -n 2p; grep -o '"prompt":[0-9]*' $T/res
1 row, 25 % of the cache kept, before the question is read; means over rows (f32, synthetic weights: timing only)
"prompt":15
"prompt":15

## evaluate: in objects
$ printf '{"prompt":"a b c d e f g h","answers":["f"]}\n' >$T/rows
> kvdbg -nx -q -batch --json --precision f32 --threads 1 synthetic:tiny -ex "evaluate $T/rows -policy full -n 2 -judge 2" | grep -o '"rows":.*}\]' | sed -E 's/:[0-9.]+(e-?[0-9]+)?/:#/g'
"rows":[{"policy":"full","found":#,"exact":#,"kl":#,"top1":#,"kv_bytes":#,"share":#,"decode_us":#,"reply":#,"rows":#}]

## evaluate: what is no evaluation
$ printf '{"prompt":"a"}\n{"answers":["f"]}\n' >$T/bad; printf '\n' >$T/none; printf '{"prompt":"a","answers":[7]}\n' >$T/seven; printf '{"prompt":"a b c"}\n' >$T/ok
> e() { kvdbg -nx -q -batch synthetic:tiny -ex "evaluate ${1-}"; echo $?; }
> e; e $T/absent; e $T/bad; e $T/none; e $T/seven; e "$T/ok -policy nothing"; e "$T/ok -policy 'x: '"; e "$T/ok -policy 'seed engine.kv=f32'"; e "$T/ok -policy 'seed policy.query-aware=off'"; e "$T/ok -ratio 2"; e "$T/ok -rows 5"; e "$T/ok -rows 5:9"; e "$T/ok -shard 3/2"; e "$T/ok -n 0"; e "$T/ok -nothing 1"; e "$T/ok -o"; e "$T/ok -policy full -n 1 -o $T/no/such/file"
Argument required (FILE.jsonl with rows to evaluate).
1
$T/absent: No such file or directory.
1
$T/bad:2: The row has neither "prompt" nor "document".
1
$T/none has no rows.
1
$T/seven:1: "answers" must be a text or a list of texts.
1
policy.preset must be one of seed, seed-literal, uniform, inverse, full, pyramid, cake, zigzag, squeeze, meda, lava, tova, h2o, streaming, snapkv, adakv, tuned, manual, got "nothing".
1
A policy needs a preset or settings.
1
engine.kv cannot differ between policies.
1
policy.query-aware cannot differ between policies.
1
A ratio lies in (0, 1], as in -ratio 0.5,0.25, not "2".
1
-rows FIRST:END counts from 0, not "5".
1
That leaves no row of 1.
1
2 is out of range for -shard I/N counts from 1 (3 to 1099511627776).
1
0 is out of range for a number of tokens (1 to 1048576).
1
There is no option "-nothing"; "help evaluate" lists them.
1
-o needs a value.
1
Cannot write $T/no/such/file: No such file or directory.
1

