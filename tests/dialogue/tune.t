Budgets from curves: for a total or a bound, measured, compared, put together.

## budgets for a total, measured beside the seed's and equal ones
$ p="set policy.sinks 2 policy.recent 4"; k() { kvdbg -q -nx -batch --precision f32 --threads 1 synthetic:tiny -ex "$p" "$@"; }
> k -ex "sensitivity tests/dialogue/fox.jsonl -o $T/p.json -shares 0.1,0.3,0.6 -selectors sum,window -tokens 8" >"$T/out"; k -ex "tune $T/p.json -ratio 0.4" -ex "tune $T/p.json tests/dialogue/fox.jsonl -ratio 0.4" -ex "profile $T/p.json -png $T/p.png" | sed 's/^window.*//'
40 % of all tokens: L0 100.0% L1 10.0% L2 10.0%
x: the curves add up to 0.8589 nats a token, with equal budgets to 1.767
y: the curves add up to 0.4854 nats a token, with equal budgets to 1.423
40 % of all tokens: L0 100.0% L1 10.0% L2 10.0%
x: the curves add up to 0.8589 nats a token, with equal budgets to 1.767
y: the curves add up to 0.4854 nats a token, with equal budgets to 1.423
40 %, measured over 2 prompts (f32, synthetic weights: timing only)
kind           prompts      seed KL  top-1   inverse KL  top-1   uniform KL  top-1     tuned KL  top-1
x                    1        1.506   0.0%        1.065  14.3%        1.401   0.0%       0.8006  42.9%
y                    1        1.155  14.3%        1.243   0.0%        1.191  14.3%       0.4567  28.6%
$T/p.json: synthetic:tiny (llama, 3 layers, sha256 synthetic:ti...), by kvdbg 0.1
2 prompts, 2 of them measured, replies of up to 8 tokens; tuned selects by sum
policy.sinks 2, policy.recent 4, policy.rows all, policy.window 32, policy.pool auto, policy.kernel 5, policy.reduce sum, policy.group shared
x, selector sum: KL(full || one layer compressed), nats a token, by kept share (f32, synthetic weights: timing only)
 layer      10%      30%      60%
     0      2.5      1.8     0.89
     1     0.69     0.27     0.09
     2     0.17     0.06    0.029
One layer alone at 30 %: L0 1.81, L1 0.273, L2 0.06 nats a token.
x, selector window: KL(full || one layer compressed), nats a token, by kept share (f32, synthetic weights: timing only)
 layer      10%      30%      60%
     0      2.8      1.7     0.99
     1     0.57     0.25     0.13
     2     0.14    0.081    0.045
One layer alone at 30 %: L0 1.67, L1 0.252, L2 0.0813 nats a token.
y, selector sum: KL(full || one layer compressed), nats a token, by kept share (f32, synthetic weights: timing only)
 layer      10%      30%      60%
     0      1.7      1.6     0.67
     1     0.34     0.12    0.049
     2     0.14    0.069    0.048
One layer alone at 30 %: L0 1.56, L1 0.124, L2 0.0693 nats a token.
y, selector window: KL(full || one layer compressed), nats a token, by kept share (f32, synthetic weights: timing only)
 layer      10%      30%      60%
     0        2      1.1      0.7
     1     0.35     0.12    0.053
     2     0.19    0.081    0.039
One layer alone at 30 %: L0 1.06, L1 0.122, L2 0.0806 nats a token.
$T/p.png: PNG of the curves  (synthetic weights)

## the smallest total that meets a bound
$ p="set policy.sinks 2 policy.recent 4"; k() { kvdbg -q -nx -batch --precision f32 --threads 1 synthetic:tiny -ex "$p" "$@"; }
> k -ex "sensitivity tests/dialogue/fox.jsonl -o $T/p.json -shares 0.1,0.3,0.6 -tokens 8" >"$T/out"; k -ex "tune $T/p.json tests/dialogue/fox.jsonl -kl 1" -ex "tune $T/p.json tests/dialogue/fox.jsonl -kl 0.1 -top1 0.9" -ex "tune $T/p.json tests/dialogue/fox.jsonl -rouge 0.5"; kvdbg -q -nx -batch --json --precision f32 --threads 1 synthetic:tiny -ex "$p" -ex "tune $T/p.json tests/dialogue/fox.jsonl -rouge 0.5" | grep -o '"rougeL":[0-9.]*' | sort | uniq -c
37.5 % of all tokens: L0 92.5% L1 10.0% L2 10.0%
x: the curves add up to 1.027 nats a token, with equal budgets to 1.861
y: the curves add up to 0.6117 nats a token, with equal budgets to 1.505
37.5 %, measured over 2 prompts (f32, synthetic weights: timing only)
kind           prompts      seed KL  top-1   inverse KL  top-1   uniform KL  top-1     tuned KL  top-1
x                    1        1.608   0.0%         1.23   0.0%        1.117  14.3%       0.9958  57.1%
y                    1         1.09   0.0%         1.44   0.0%        1.235  14.3%       0.4758  28.6%
99.22 % of all tokens: L0 100.0% L1 100.0% L2 97.7%
x: the curves add up to 0.001688 nats a token, with equal budgets to 0.01979
y: the curves add up to 0.00281 nats a token, with equal budgets to 0.01504
99.22 %, measured over 2 prompts (f32, synthetic weights: timing only)
kind           prompts      seed KL  top-1   inverse KL  top-1   uniform KL  top-1     tuned KL  top-1
x                    1    0.0002632 100.0%      0.02035  71.4%     0.005871 100.0%    0.0001522 100.0%
y                    1    8.856e-05 100.0%     0.009577  71.4%     0.002513  85.7%     0.001884 100.0%
99.22 % of all tokens: L0 100.0% L1 100.0% L2 97.7%
x: the curves add up to 0.001688 nats a token, with equal budgets to 0.01979
y: the curves add up to 0.00281 nats a token, with equal budgets to 0.01504
99.22 %, measured over 2 prompts (f32, synthetic weights: timing only)
kind           prompts      seed KL  top-1 ROUGE-L   inverse KL  top-1 ROUGE-L   uniform KL  top-1 ROUGE-L     tuned KL  top-1 ROUGE-L
x                    1    0.0002632 100.0%  1.0000      0.02035  71.4%  0.2857     0.005871 100.0%  1.0000    0.0001522 100.0%  1.0000
y                    1    8.856e-05 100.0%  1.0000     0.009577  71.4%  0.0000     0.002513  85.7%  0.0000     0.001884 100.0%  1.0000
ROUGE-L: F of Google rouge-score, of the reply over each cache against the full cache's.
      2 "rougeL":0
      1 "rougeL":0.28571428571428575
      5 "rougeL":1

## the selector that serves the worst kind best; the profile with the choice is what the policy goes by
$ p="set policy.sinks 2 policy.recent 4"; k() { kvdbg -q -nx -batch --precision f32 --threads 1 synthetic:tiny -ex "$p" "$@"; }
> k -ex "sensitivity tests/dialogue/fox.jsonl -o $T/p.json -shares 0.1,0.3,0.6 -selectors sum,window -tokens 8" >"$T/out"; k -ex "tune $T/p.json tests/dialogue/fox.jsonl -selectors sum,window,by-layer -ratio 0.4 -o $T/q.json"; grep choice "$T/p.json" "$T/q.json"
> k -p tests/dialogue/fox.txt -ex "set policy tuned $T/q.json policy.sinks 2 policy.recent 4 policy.ratio 0.4" -ex "break decode" -ex run -ex "info budget" -ex "why @20" -ex "save policy $T/saved.kv" -ex "shell cat $T/saved.kv"
sum        x              KL 0.8006, top-1 42.9 %
           y              KL 0.4567, top-1 28.6 %
window     x              KL 0.6194, top-1 42.9 %
           y              KL 0.4759, top-1 57.1 %
by-layer   x              KL 0.7491, top-1 42.9 %
           y              KL 0.4356, top-1 57.1 %
40 % of all tokens: L0 100.0% L1 10.0% L2 10.0%
x: the curves add up to 0.71 nats a token, with equal budgets to 1.724
y: the curves add up to 0.5443 nats a token, with equal budgets to 1.105
40 %, measured over 2 prompts (f32, synthetic weights: timing only)
kind           prompts      seed KL  top-1   inverse KL  top-1   uniform KL  top-1     tuned KL  top-1
x                    1        1.516   0.0%        1.459   0.0%        1.564   0.0%       0.6194  42.9%
y                    1       0.8396  28.6%       0.8868  42.9%       0.6888  28.6%       0.4759  57.1%
$T/p.json:  "choice": "sum",
$T/q.json:  "choice": "window",
Breakpoint 1 at decode
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
e

Breakpoint 1, decode:0 embed, tick 34
34	embed  token "e"  (synthetic weights)
Budgets (E in nats; requested, applied and used in tokens; bytes of K and V in f32 by formula; f32, cpu, synthetic weights: timing only)
layer       E   weight requested  applied    used     bytes  # used  = applied  | requested
    0   1.796   1.0000      93.0       93      93  23.2 KiB  #############################|
    1   1.403   0.1043       9.7       10      10   2.5 KiB  ###|
    2   1.812   0.1000       9.3        9       9   2.2 KiB  ##|
  sum                      112.0      112     112  28.0 KiB
@20 " ": kept in 1 of 3 layers (f32, cpu, synthetic weights: timing only)
layer  budget        raw    per row      score    rank  last in    cut-off    margin  rule
    0      93     0.4017    0.01255     0.0629      15       86   0.004899 +1183.9 %  top-k
    1      10     0.8048    0.02515    0.05878      17        3    0.09089   -35.3 %  evicted
    2       9       2.63     0.0822     0.0492      26        2    0.07658   -35.7 %  evicted
Saved to file '$T/saved.kv'.
# kvdbg policy tuned (edited)
set policy.preset tuned
set policy.ratio 0.4
set policy.sinks 2
set policy.recent 4
set policy.profile $T/q.json

## budgets refined with all layers compressed at once serve their own total; more prompts, and averages, forget them
$ p="set policy.sinks 2 policy.recent 4"; k() { kvdbg -q -nx -batch --precision f32 --threads 1 synthetic:tiny -ex "$p" "$@"; }
> k -ex "sensitivity tests/dialogue/fox.jsonl -o $T/p.json -shares 0.1,0.3,0.6 -selectors sum,window -tokens 8" >"$T/out"; k -ex "tune $T/p.json tests/dialogue/fox.jsonl -ratio 0.4,0.6 -refine 8 -o $T/q.json"; grep -A3 refined $T/q.json; k -ex "profile $T/q.json" | sed -n 3p; k -ex "profile diff $T/p.json $T/q.json -ratio 0.4,0.402,0.5"; k -ex "maint interrupt 10" -ex "tune $T/p.json tests/dialogue/fox.jsonl -ratio 0.4 -refine 8 -o $T/r.json"; ls $T; k -ex "maint interrupt 16" -ex "tune $T/p.json tests/dialogue/fox.jsonl -ratio 0.4 -refine 8 -o $T/r.json"; grep -A1 refined $T/r.json
> k -ex "profile average $T/q.json $T/q.json -o $T/a.json" >$T/out; k -ex "sensitivity tests/dialogue/fox.txt -o $T/q.json -shares 0.1,0.3,0.6 -selectors sum,window -tokens 8" >$T/out; grep -c refined $T/a.json $T/q.json
40 % of all tokens, refined: KL is 0.753 of where it began, the mean over kinds (96 kept sets)
60 % of all tokens, refined: KL is 0.947 of where it began, the mean over kinds (68 kept sets)
40 % of all tokens: L0 99.1% L1 12.5% L2 8.4%
x: the curves add up to 0.8275 nats a token, with equal budgets to 1.767
y: the curves add up to 0.4737 nats a token, with equal budgets to 1.423
40 %, measured over 2 prompts (f32, synthetic weights: timing only)
kind           prompts      seed KL  top-1   inverse KL  top-1   uniform KL  top-1     tuned KL  top-1
x                    1        1.506   0.0%        1.065  14.3%        1.401   0.0%       0.5469  71.4%
y                    1        1.155  14.3%        1.243   0.0%        1.191  14.3%       0.3965  42.9%
60 % of all tokens: L0 100.0% L1 55.3% L2 24.7%
x: the curves add up to 0.2081 nats a token, with equal budgets to 1.013
y: the curves add up to 0.1496 nats a token, with equal budgets to 0.7702
60 %, measured over 2 prompts (f32, synthetic weights: timing only)
kind           prompts      seed KL  top-1   inverse KL  top-1   uniform KL  top-1     tuned KL  top-1
x                    1        1.071  14.3%        1.326  28.6%        1.039  28.6%       0.1618  85.7%
y                    1        0.689  42.9%       0.8216  14.3%       0.7339  28.6%       0.1517  85.7%
  "refined": [
    {"total": 0.4, "shares": [0.9907, 0.12513, 0.084175]},
    {"total": 0.6, "shares": [1, 0.55275, 0.24725]}
  ],
refined for 40 %, 60 % of all tokens
Kept shares of the layers at 40 % of all tokens
 layer     first    second    change
     0    100.0%     99.1%     -0.9%
     1     10.0%     12.5%     +2.5%
     2     10.0%      8.4%     -1.6%
2.1 % of the budget is in other layers.
Kept shares of the layers at 40.2 % of all tokens
 layer     first    second    change
     0    100.0%     99.6%     -0.4%
     1     10.6%     12.6%     +2.0%
     2     10.0%      8.5%     -1.5%
1.6 % of the budget is in other layers.
Kept shares of the layers at 50 % of all tokens
 layer     first    second    change
     0    100.0%    100.0%     +0.0%
     1     40.0%     40.0%     +0.0%
     2     10.0%     10.0%     +0.0%
0.0 % of the budget is in other layers.
Stopped on request.
out
p.json
q.json
Interrupted: at 40 % of all tokens KL came to 0.766 of where it began, and $T/r.json has that.
  "refined": [
    {"total": 0.4, "shares": [0.979, 0.13, 0.091]}
$T/a.json:0
$T/q.json:0
[1]

## two profiles: what differs, and both in one
$ k() { kvdbg -q -nx -batch --precision f32 --threads 1 synthetic:tiny "$@"; }
> for i in 0 1; do k -ex "sensitivity tests/dialogue/fox.jsonl -rows $i:$((i + 1)) -o $T/$i.json -shares 0.1,0.3,0.6 -tokens 8" >"$T/out"; done; k -ex "profile diff $T/0.json $T/1.json -ratio 0.3" -ex "profile average $T/0.json $T/1.json -o $T/all.json" -ex "profile average $T/0.json $T/all.json -o $T/same.json"; grep -c sha256 "$T/all.json" "$T/same.json"
Kept shares of the layers at 30 % of all tokens
 layer     first    second    change
     0     70.0%     70.0%     +0.0%
     1     10.0%     10.0%     +0.0%
     2     10.0%     10.0%     +0.0%
0.0 % of the budget is in other layers.
$T/all.json: synthetic:tiny (llama, 3 layers, sha256 synthetic:ti...), by kvdbg 0.1
2 prompts, 2 of them measured, replies of up to 8 tokens; tuned selects by sum
policy.sinks 4, policy.recent 32, policy.rows all, policy.window 32, policy.pool auto, policy.kernel 5, policy.reduce sum, policy.group shared
$T/same.json: synthetic:tiny (llama, 3 layers, sha256 synthetic:ti...), by kvdbg 0.1
2 prompts, 2 of them measured, replies of up to 8 tokens; tuned selects by sum
policy.sinks 4, policy.recent 32, policy.rows all, policy.window 32, policy.pool auto, policy.kernel 5, policy.reduce sum, policy.group shared
$T/all.json:3
$T/same.json:3

## a profile of another model, and other refusals
$ k() { kvdbg -q -nx -batch --precision f32 --threads 1 "$@"; }
> k synthetic:tiny -ex "sensitivity tests/dialogue/fox.txt -o $T/p.json -shares 0.1,0.3,0.6 -tokens 8" >"$T/out"; sed 's/"sha256": "synthetic:tiny"/"sha256": "0123456789abcdef"/' "$T/p.json" >"$T/sha.json"; sed 's/"layers": 3/"layers": 2/' "$T/p.json" >"$T/layers.json"
> for a in "set policy tuned $T/sha.json" "set policy.profile $T/sha.json" "set policy.profile $T/layers.json" "set policy.profile $T/nothing.json" "set policy tuned $T/p.json policy.ratio" "tune" "tune $T/sha.json" "tune $T/p.json -kl 1" "tune $T/p.json tests/dialogue/fox.txt -kl 0" "tune $T/p.json tests/dialogue/fox.txt -rouge 1.5" "tune $T/p.json tests/dialogue/fox.txt -ratio 0.5 -rouge 0.5" "tune $T/p.json -ratio 0.5 -refine 3 -o $T/q.json" "tune $T/p.json tests/dialogue/fox.txt -refine 3" "tune $T/p.json tests/dialogue/fox.txt -kl 1 -refine 3 -o $T/q.json" "tune $T/p.json tests/dialogue/fox.txt -refine 0" "tune $T/p.json -ratio 2" "tune $T/p.json tests/dialogue/fox.txt -selectors best -o $T/q.json" "tune $T/p.json tests/dialogue/fox.txt -selectors sum" "profile" "profile diff $T/p.json" "profile diff $T/p.json $T/out" "profile average $T/p.json $T/sha.json -o $T/q.json" "profile average $T/p.json $T/p.json -o $T/out" "profile best"; do k synthetic:tiny -ex "$a"; echo "[$?]"; done
> k -p tests/dialogue/fox.txt synthetic:tiny -ex "set policy tuned" -ex run; echo "[$?]"; k synthetic:tiny-gemma -ex "set policy tuned $T/p.json"; echo "[$?]"
The profile $T/sha.json was measured on a model with sha256 0123456789ab..., and this one has synthetic:ti...
[1]
The profile $T/sha.json was measured on a model with sha256 0123456789ab..., and this one has synthetic:ti...
[1]
$T/layers.json is no profile that can be used: a prompt has no curve for every selector and layer.
[1]
$T/nothing.json: No such file or directory.
[1]
No setting "$T/p.json".  Try "info settings".
[1]
Argument required (a profile, which "sensitivity" makes).
[1]
The profile $T/sha.json was measured on a model with sha256 0123456789ab..., and this one has synthetic:ti...
[1]
Bounds and selectors are measured: name prompts behind the profile.
[1]
-kl takes a number of nats above 0, not "0".
[1]
-rouge takes a share in (0, 1], not "1.5".
[1]
tune takes totals by -ratio, or bounds -kl, -top1 and -rouge for which it finds one.
[1]
-refine takes totals by -ratio, and prompts to measure with.
[1]
-refine needs -o, for the profile that comes of it.
[1]
-refine takes totals by -ratio, and prompts to measure with.
[1]
0 is out of range for a number of rounds (1 to 1000).
[1]
-ratio takes shares in (0, 1], not "2".
[1]
-selectors takes selectors and by-layer, and "best" is neither.
[1]
-selectors needs -o, for the profile that comes of it.
[1]
Argument required (FILE of a profile, diff or average).
[1]
Arguments required (two profiles).
[1]
$T/out is no profile that can be used: it is no JSON object.
[1]
One profile is of the model synthetic:tiny (synthetic:ti), the other of synthetic:tiny (0123456789ab).
[1]
$T/out is there already and is not this session's or this recipe's work; -f overwrites it.
[1]
best: No such file or directory.
[1]
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
The policy tuned needs a profile of the model: set policy.profile FILE; "sensitivity" makes one.
[1]
There is no synthetic model 'tiny-gemma'; there are qwen3-4b, qwen3-4b-128k, mistral-7b, smollm2-135m, tiny, tiny-sliding, tiny-qwen3, tiny-mistral and long.
[4]

