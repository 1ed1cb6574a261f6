## --on-error says where a batch failed
$ kvdbg -nx -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt --on-error 'info frame' -ex start -ex 'stepi 3' -ex 'assert $tick > 100' -ex 'print "not reached"'
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)

prefill:0 embed, tick 0
0	embed  rows 0-92 of 93  (synthetic weights)
3	L0.rope  rows 0-92 of 93  (synthetic weights)
Assertion failed: $tick > 100.
Stack level 0, stage at prefill:0 L0.rope:
 prefill:0 L0.rope at tick 3
 tick 3 of branch 0
 called by frame at level 1, the layer
 focus: layer 0, head 0, token 0
[3]

## --on-error with --keep-going, each time; it cannot fail by itself
$ kvdbg -nx -batch --keep-going synthetic:tiny --on-error 'nonsense' -ex 'assert 0' -ex 'print 1' -ex 'foo'
Assertion failed: 0.
Undefined command: "nonsense".  Try "help".
$1 = 1
Undefined command: "foo".  Try "help".
Undefined command: "nonsense".  Try "help".
[3]

## --on-error in a row of data
$ printf '{"n":1}\n{"n":2}\n' >$T/r; kvdbg -nx --for-each $T/r --keep-going --on-error 'print $_row' -ex 'assert $n != 1' synthetic:tiny
Assertion failed: $n != 1.
$1 = 0
$T/r:1: row 0 failed.
2 rows: 1 passed, 1 failed (row 0: Assertion failed: $n != 1.)
[3]

## --gdb-exit: the last command decides
$ kvdbg -nx -batch --gdb-exit synthetic:tiny -ex foo -ex 'print 1'
Undefined command: "foo".  Try "help".
$1 = 1

## --gdb-exit: a failure at the end
$ kvdbg -nx -batch --gdb-exit synthetic:tiny -ex 'print 1' -ex 'assert 0'
$1 = 1
Assertion failed: 0.
[1]

## --gdb-exit: a script ends at its first failure, the batch does not
$ printf 'foo\nprint 1\n' >$T/s; kvdbg -nx -batch --gdb-exit synthetic:tiny -x $T/s -ex 'print 2'
$T/s:1: Error in sourced command file:
Undefined command: "foo".  Try "help".
$1 = 2

## --gdb-exit with --keep-going
$ kvdbg -nx -batch --gdb-exit --keep-going synthetic:tiny
kvdbg: --gdb-exit goes with neither --keep-going nor --for-each.
[2]

## --cd: files are looked for there
$ echo 'print 7' >$T/s; echo hello >$T/p; kvdbg -nx -batch --cd $T synthetic:tiny --precision f32 -p p -x s -ex prompt
$1 = 7
Prompt: p, 5 bytes, 18 tokens (chat template)

## --cd to nowhere
$ kvdbg -nx -batch --cd $T/none synthetic:tiny -ex 'print 1'
$T/none: No such file or directory.
[2]

## --for-each on a core file
$ kvdbg -nx -c x.core --for-each rows -ex 'print 1'
kvdbg: A core file has its own prompt: --for-each needs a model to run.
[2]

