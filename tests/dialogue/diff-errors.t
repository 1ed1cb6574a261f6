## What diff takes
$ for what in 'run 3' 'run x' 'run 1 run 1 run 1' '3 4' 'steps' 'foo' 'full full full'; do kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'break decode' -ex run -ex "diff $what" 2>&1 | tail -1; done
No run number 3.
"x" is not a run (a whole number).
diff takes "run N" or "full" twice at most, "steps N", -layers and -noise, not run.
diff takes "run N" or "full" twice at most, "steps N", -layers and -noise, not 4.
diff takes "run N" or "full" twice at most, "steps N", -layers and -noise, not steps.
diff takes "run N" or "full" twice at most, "steps N", -layers and -noise, not foo.
diff takes "run N" or "full" twice at most, "steps N", -layers and -noise, not full.

## A run that is not compressed yet cannot be compared
$ kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'break decode' -ex run -ex clone-inferior -ex recompress -ex 'inferior 1' -ex 'diff run 1 run 3' 2>&1 | tail -1
The cache of run 3 is not compressed yet (now in compress:0).

## What is worked out on demand is of the selected run alone
$ kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'break decode' -ex run -ex clone-inferior -ex 'print run(1).attn[0][0][3]' 2>&1 | tail -1
attn is worked out for the selected run alone: see inferior.

