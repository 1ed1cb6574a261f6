## What regret and blame take
$ for what in 'regret 5' 'regret foo 3' 'regret -by word' 'regret layer 3' 'regret head 4' 'regret steps 1' 'blame 3' 'blame -kl -1' 'blame -kl x' 'blame -max 1' 'blame steps'; do kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'break decode' -ex run -ex "$what" 2>&1 | tail -1; done
5 needs a value: steps N, layer L, head H, -n ROWS, -by, -csv FILE.
regret takes steps N, layer L, head H, -n ROWS, -by token|head|cell and -csv FILE, not foo.
-by takes token, head or cell, not word.
3 is out of range for a layer (0 to 2).
4 is out of range for a head (0 to 3).
1 is out of range for a number of steps (2 to 1048576).
blame takes steps N, -kl BOUND and -max N, not 3.
-kl takes nats a token, 0 or more, not -1.
-kl takes nats a token, 0 or more, not x.
1 is out of range for a number of kept sets (2 to 1000000).
blame takes steps N, -kl BOUND and -max N, not steps.

## Before compress there is nothing to regret
$ for what in regret blame 'info kv regret' 'heat regret' 'info kv best'; do kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'break compress' -ex run -ex "$what" 2>&1 | tail -1; done
regret is not available before compress is done (now in compress:0).
blame is not available before compress is done (now in compress:0).
regret is not available before compress is done.
regret is not available before compress is done.
"best" is neither sharing nor regret.

## The full cache must be there
$ for what in regret blame; do kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'set engine.snapshot off' -ex 'break decode' -ex run -ex "$what" 2>&1 | tail -1; done
The full cache is gone, for it was compacted in place: set engine.snapshot on, then run again.
The full cache is gone, for it was compacted in place: set engine.snapshot on, then run again.

## The whole table goes to a file
$ kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'set decode.tokens 6 judge.tokens 6' -ex 'break decode' -ex run -ex "regret -n 1 -csv $T/r.csv" -ex "regret -by cell -csv $T/c.csv" 2>&1 | tail -1; head -3 $T/r.csv; wc -l <$T/c.csv
$T/c.csv: 684 rows
position,text,layer,head,mass,worst_layer,worst_head,worst
44,l,-1,-1,0.0350911717,0,3,0.219964862
53,i,-1,-1,0.0338754017,2,3,0.201723263
697

