## The working directory
$ kvdbg -q -nx -batch synthetic:tiny -ex "cd $T" -ex 'cd nowhere' 2>&1
Working directory $T.
nowhere: No such file or directory.
[1]

## with and recompress
$ kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'with policy.ratio 0.5 -- recom' 2>&1 | tail -1
recompress only goes back to compress, which runs when with has put the policy back: use whatif, or set.

