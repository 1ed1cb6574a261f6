Curves of layers, from prompts to a profile.

## two kinds of prompts, two selectors
$ kvdbg -q -nx -batch --precision f32 --threads 1 synthetic:tiny -ex "set policy.sinks 2 policy.recent 4" -ex "sensitivity tests/dialogue/fox.jsonl -o $T/p.json -selectors sum,window -tokens 8"
x, selector sum: KL(full || one layer compressed), nats a token, by kept share (f32, synthetic weights: timing only)
 layer       4%       8%      15%      25%      40%      60%      80%
     0      2.8      2.7      2.4        2      1.3     0.89     0.59
     1     0.71     0.71     0.48     0.32     0.19     0.09    0.026
     2     0.23     0.17     0.13    0.091    0.053    0.029    0.021
One layer alone at 25 %: L0 2.02, L1 0.318, L2 0.091 nats a token.
x, selector window: KL(full || one layer compressed), nats a token, by kept share (f32, synthetic weights: timing only)
 layer       4%       8%      15%      25%      40%      60%      80%
     0      2.8      2.8      2.4        2      1.5     0.99     0.64
     1     0.73     0.73     0.52     0.34     0.25     0.13    0.042
     2     0.23     0.15     0.14    0.083    0.065    0.045    0.027
One layer alone at 25 %: L0 2.02, L1 0.34, L2 0.0829 nats a token.
y, selector sum: KL(full || one layer compressed), nats a token, by kept share (f32, synthetic weights: timing only)
 layer       4%       8%      15%      25%      40%      60%      80%
     0      2.1      1.8      1.6      1.6      1.1     0.67     0.31
     1     0.59     0.46     0.24     0.12     0.09    0.049    0.014
     2     0.23     0.15     0.14      0.1    0.061    0.048    0.025
One layer alone at 25 %: L0 1.59, L1 0.121, L2 0.101 nats a token.
y, selector window: KL(full || one layer compressed), nats a token, by kept share (f32, synthetic weights: timing only)
 layer       4%       8%      15%      25%      40%      60%      80%
     0      2.1      2.1      1.4      1.2     0.65     0.65     0.39
     1     0.59     0.44     0.24     0.15    0.085    0.053    0.022
     2     0.23      0.2     0.15    0.096    0.071    0.039    0.025
One layer alone at 25 %: L0 1.23, L1 0.146, L2 0.0964 nats a token.
$T/p.json: curves of 2 prompts  (synthetic weights)

## the same command again measures nothing; with more rows it adds them
$ k() { kvdbg -q -nx -batch --precision f32 --threads 1 synthetic:tiny -ex "set policy.sinks 2 policy.recent 4" -ex "sensitivity tests/dialogue/fox.jsonl -o $T/p.json -shares 0.2,0.5 -tokens 8 $1"; }
> k "-rows 0:1"; cp "$T/p.json" "$T/one.json"; k "-rows 0:1"; cmp "$T/p.json" "$T/one.json" && echo same; k "" | tail -1; cp "$T/p.json" "$T/both.json"; rm "$T/p.json"; k "" >"$T/out"; cmp "$T/p.json" "$T/both.json" && echo same
x, selector sum: KL(full || one layer compressed), nats a token, by kept share (f32, synthetic weights: timing only)
 layer      20%      50%
     0      2.1      1.3
     1     0.47     0.14
     2     0.13    0.045
One layer alone at 20 %: L0 2.07, L1 0.468, L2 0.126 nats a token.
$T/p.json: curves of 1 prompt  (synthetic weights)
x, selector sum: KL(full || one layer compressed), nats a token, by kept share (f32, synthetic weights: timing only)
 layer      20%      50%
     0      2.1      1.3
     1     0.47     0.14
     2     0.13    0.045
One layer alone at 20 %: L0 2.07, L1 0.468, L2 0.126 nats a token.
$T/p.json: curves of 1 prompt  (synthetic weights)
same
$T/p.json: curves of 2 prompts  (synthetic weights)
same

## a profile measured otherwise is not added to
$ k() { kvdbg -q -nx -batch --precision f32 --threads 1 synthetic:tiny -ex "$1" -ex "sensitivity tests/dialogue/fox.jsonl -o $T/p.json -shares 0.5 -tokens 8 $2"; }
> k "echo" "" >"$T/out"; k "echo" "-shares 0.4"; k "set policy.sinks 3" ""; k "echo" "-selectors mix"; k "echo" "-tokens 9"; echo no >"$T/p.json"; k "echo" ""; cat "$T/p.json"
$T/p.json holds curves of another model, grid, reply length, selectors or policy: name another file.
$T/p.json holds curves of another model, grid, reply length, selectors or policy: name another file.
$T/p.json holds curves of another model, grid, reply length, selectors or policy: name another file.
$T/p.json holds curves of another model, grid, reply length, selectors or policy: name another file.
$T/p.json is no profile that can be used: it is no JSON object.
no

## what cannot be measured
$ for a in "" "a.jsonl" "-o $T/p.json" "/nowhere.jsonl -o $T/p.json" "tests/dialogue/fox.jsonl -o $T/p.json -rows 1:3" "tests/dialogue/fox.jsonl -o $T/p.json -shares 0.5,0.2" "tests/dialogue/fox.jsonl -o $T/p.json -shares 1" "tests/dialogue/fox.jsonl -o $T/p.json -selectors sum,sum" "tests/dialogue/fox.jsonl -o $T/p.json -selectors best" "tests/dialogue/fox.jsonl -o $T/p.json -best" "tests/dialogue/fox.jsonl -o $T/p.json -tokens 1" "tests/dialogue/fox.jsonl -o /nowhere/at/p.json"; do kvdbg -q -nx -batch --threads 1 synthetic:tiny -ex "sensitivity $a"; echo "[$?]"; done; ls "$T"
Arguments required (PROMPTS.jsonl or FILE..., and -o PROFILE).
[1]
Arguments required (PROMPTS.jsonl or FILE..., and -o PROFILE).
[1]
Arguments required (PROMPTS.jsonl or FILE..., and -o PROFILE).
[1]
/nowhere.jsonl: No such file or directory.
[1]
tests/dialogue/fox.jsonl has no row 2; its rows are 0 to 1.
[1]
-shares takes ascending shares in (0, 1), not "0.5,0.2".
[1]
-shares takes ascending shares in (0, 1), not "1".
[1]
The selector sum is given twice.
[1]
There is no selector "best" to measure.
[1]
"-best" is none of the options -shares -tokens -selectors -rows -question -apart -o.
[1]
1 is out of range for a number of tokens (2 to 4096).
[1]
Cannot write /nowhere/at/p.json: No such file or directory.
[1]

## the policy tuned goes by a profile
$ kvdbg -q -nx -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt synthetic:tiny -ex "set policy.sinks 2 policy.recent 4" -ex "sensitivity tests/dialogue/fox.txt -o $T/p.json -shares 0.1,0.2,0.4,0.7 -tokens 8" -ex "set policy tuned policy.profile $T/p.json policy.sinks 2 policy.recent 4" -ex "break decode" -ex "run" -ex "info budget" -ex "show policy -diff" -ex "set policy.ratio 0.6" -ex "recompress" -ex "continue" -ex "info budget"
fox, selector sum: KL(full || one layer compressed), nats a token, by kept share (f32, synthetic weights: timing only)
 layer      10%      20%      40%      70%
     0      2.1        2      1.5     0.93
     1     0.63     0.49     0.29     0.13
     2     0.17     0.12    0.077    0.035
One layer alone at 20 %: L0 2, L1 0.49, L2 0.124 nats a token.
$T/p.json: curves of 1 prompt  (synthetic weights)
Breakpoint 1 at decode
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
e

Breakpoint 1, decode:0 embed, tick 34
34	embed  token "e"  (synthetic weights)
Budgets (E in nats; requested, applied and used in tokens; bytes of K and V in f32 by formula; f32, cpu, synthetic weights: timing only)
layer       E   weight requested  applied    used     bytes  # used  = applied  | requested
    0   1.796   0.5527      51.4       52      52  13.0 KiB  #############################|
    1   1.403   0.1000       9.3        9       9   2.2 KiB  #####|
    2   1.812   0.1000       9.3        9       9   2.2 KiB  #####|
  sum                       70.0       70      70  17.5 KiB
setting              now          preset       compressed
policy.sinks         2            4            2
policy.recent        4            32           4
policy.profile       $T/p.json none         $T/p.json
compress:0 allocate, tick 27
27	allocate  policy tuned over 3 layers of 93 tokens  (synthetic weights)
Continuing.
e

Breakpoint 1, decode:0 embed, tick 34
34	embed  token "e"  (synthetic weights)
Budgets (E in nats; requested, applied and used in tokens; bytes of K and V in f32 by formula; f32, cpu, synthetic weights: timing only)
layer       E   weight requested  applied    used     bytes  # used  = applied  | requested
    0   1.796   1.0000      93.0       93      93  23.2 KiB  #############################|
    1   1.403   0.6957      64.7       65      65  16.2 KiB  ####################|
    2   1.812   0.1000       9.3        9       9   2.2 KiB  ##|
  sum                      167.0      167     167  41.8 KiB

