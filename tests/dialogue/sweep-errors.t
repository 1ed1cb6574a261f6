## What sweep takes
$ for what in '' 'foo=1' 'policy.ratio' 'policy.ratio=' 'policy.ratio=0.5,,1' 'policy.ratio=0.5,7' 'policy.ratio=1:0:1' 'policy.ratio=0:1:0.001' 'policy.ratio=0.5 -metric foo' 'policy.ratio=0.5 -n 1' 'policy.ratio=0.5 -csv' 'policy.ratio=0.5 -x y' 'policy.ratio=0.5 -prompts nowhere.jsonl' 'policy.sinks=1:40:1 policy.recent=1:40:1'; do kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'break decode' -ex run -ex "sweep $what" 2>&1 | tail -1; done
Argument required (NAME=A,B,... or NAME=LOW:HIGH:STEP).
No setting "foo".
"policy.ratio" is neither NAME=A,B,... nor NAME=LOW:HIGH:STEP.
A value of policy.ratio is missing.
A value of policy.ratio is missing.
policy.ratio must be in (0, 1], got "7".
policy.ratio=1:0:1 is no range LOW:HIGH:STEP of at most 64 values.
policy.ratio=0:1:0.001 is no range LOW:HIGH:STEP of at most 64 values.
-metric takes kl, top1, mass, rouge, kept, bytes and ms, not foo.
1 is out of range for a number of tokens (2 to 1048576).
-csv needs a value.
sweep takes NAME=VALUES..., -metric, -n, -prompts, -csv, -jsonl and -png, not -x.
nowhere.jsonl: No such file or directory.
That is 1600 combinations; 1024 are the limit.

## Nothing is swept before the prefill is done
$ kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'sweep policy.ratio=0.5'
There is no finished prefill to sweep from: run first, or -prompts FILE.
[1]

## Rows of data, and files
$ printf '{"id":"a","document":"The quick brown fox jumps over the lazy dog.","reference":"A fox jumps."}\n{"prompt":"One two three four five six seven eight nine ten."}\n' >$T/r.jsonl; kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -ex 'set judge.tokens 6 decode.tokens 6' -ex "sweep policy.ratio=0.3,1 policy.floor=4,8 -prompts $T/r.jsonl -metric kl,top1,rouge,kept -csv $T/s.csv -jsonl $T/s.jsonl -png $T/s.png"; cat $T/s.csv; sed 's/\(\.[0-9]\{6\}\)[0-9]*/\1/g' $T/s.jsonl; kvdbg -q -nx -batch synthetic:tiny -ex "info png $T/s.png" | grep -e sweep | sed 's,/tmp/[^ ]*/,,g'
4 combinations from one prefill, 2 prompts, at most 6 steps of the full cache's reply (f32, synthetic weights: timing only)
policy.ratio  policy.floor           kl         top1       rougeL        share
0.3           4                   1.551       0.00 %            0      29.99 %
0.3           8                   1.551       0.00 %            0      29.99 %
1             4                       0     100.00 %            0     100.00 %
1             8                       0     100.00 %            0     100.00 %
$T/s.csv: 8 rows  (synthetic weights)
$T/s.jsonl: 8 lines  (synthetic weights)
$T/s.png: kl of 4 combinations  (synthetic weights)
prompt,policy.ratio,policy.floor,kl,top1,rougeL,share
a,0.3,4,1.25941519,0,0,0.300411523
a,0.3,8,1.25941519,0,0,0.300411523
a,1,4,0,1,0,1
a,1,8,0,1,0,1
r:2,0.3,4,1.84228607,0,0,0.299319728
r:2,0.3,8,1.84228607,0,0,0.299319728
r:2,1,4,0,1,0,1
r:2,1,8,0,1,0,1
{"prompt":"a","policy.ratio":"0.3","policy.floor":"4","kl":1.259415,"top1":0,"rougeL":0,"share":0.300411}
{"prompt":"a","policy.ratio":"0.3","policy.floor":"8","kl":1.259415,"top1":0,"rougeL":0,"share":0.300411}
{"prompt":"a","policy.ratio":"1","policy.floor":"4","kl":0,"top1":1,"rougeL":0,"share":1}
{"prompt":"a","policy.ratio":"1","policy.floor":"8","kl":0,"top1":1,"rougeL":0,"share":1}
{"prompt":"r:2","policy.ratio":"0.3","policy.floor":"4","kl":1.842286,"top1":0,"rougeL":0,"share":0.299319}
{"prompt":"r:2","policy.ratio":"0.3","policy.floor":"8","kl":1.842286,"top1":0,"rougeL":0,"share":0.299319}
{"prompt":"r:2","policy.ratio":"1","policy.floor":"4","kl":0,"top1":1,"rougeL":0,"share":1}
{"prompt":"r:2","policy.ratio":"1","policy.floor":"8","kl":0,"top1":1,"rougeL":0,"share":1}
  kvdbg:sweep            sweep policy.ratio=0.3,1 policy.floor=4,8 -prompts r.jsonl -metric kl,top1,rouge,kept -csv s.csv -jsonl s.jsonl -png s.png

