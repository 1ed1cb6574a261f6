## for-each: every row is a request of its own
$ printf '{"id":"a","prompt":"the quick brown fox jumps over the lazy dog"}\n\n{"id":"b","prompt":"hello","question":"who?"}\n' >$T/r
> kvdbg -nx --for-each $T/r -ex 'set decode.tokens 1' -ex 'print $_row' -ex 'print $id' -ex run -ex 'set var $id = 5' -ex 'break compress' -ex 'set policy.ratio 0.5' -ex 'info breakpoints' synthetic:tiny --precision f32
$1 = 0
$2 = "a"
Starting request: $T/r:1, 47 tokens (chat; f32, cpu, synthetic weights: timing only)
�
[Request finished: 1 reply token, cut by decode.tokens or by the context; f32, cpu, synthetic weights: timing only]
Breakpoint 1 at compress
Num     Type           Disp Enb What
1       breakpoint     keep y   compress
$1 = 1
$2 = "b"
Starting request: $T/r:3, 8 tokens and a question of 16 (chat; f32, cpu, synthetic weights: timing only)
 number
[Request finished: 1 reply token, cut by decode.tokens or by the context; f32, cpu, synthetic weights: timing only]
Breakpoint 1 at compress
Num     Type           Disp Enb What
1       breakpoint     keep y   compress
2 rows: 2 passed, 0 failed

## for-each: what fields become
$ printf '{"n":3,"x":0.5,"yes":true,"no":false,"nil":null,"list":[1,2,3],"texts":["a","b"],"in":{"deep key":[{"z":9}]},"layer":7,"1st":"one","":"none"}\n' >$T/r
> kvdbg -nx --for-each $T/r -ex 'print $n / 2' -ex 'print $x' -ex 'print $yes + $no' -ex 'print $nil' -ex 'print $list[2] * $list' -ex 'print $texts_1' -ex 'print $in_deep_key_0_z' -ex 'print $row_layer' -ex 'print $layer' -ex 'print $_1st' -ex 'print $_' synthetic:tiny
$1 = 1
$2 = 0.5
$3 = 1
$4 = void
$5 = {3, 6, 9}
$6 = "b"
$7 = 9
$8 = 7
$9 = 0
$10 = "one"
$11 = "none"
1 row: 1 passed, 0 failed

## for-each: a prompt in a field of another name
$ printf '{"document":"some words here","ask":"which"}\n' >$T/r; kvdbg -nx --for-each $T/r -ex 'prompt $document' -ex 'prompt $nothing' synthetic:tiny
Prompt: $document, 15 bytes, 25 tokens (chat template)
$nothing is no text; a prompt must be one.
$T/r:1: row 0 failed.
1 row: 0 passed, 1 failed (row 0: $nothing is no text; a prompt must be one.)
[1]

## for-each: the command line's prompt with each row's question
$ printf '{"question":"who?"}\n{"question":"where is it?"}\n{}\n' >$T/r; kvdbg -nx --for-each $T/r -p tests/dialogue/fox.txt --question what -ex 'set decode.tokens 1' -ex start synthetic:tiny --precision f32
Starting request: tests/dialogue/fox.txt, 83 tokens and a question of 16 (chat; f32, cpu, synthetic weights: timing only)

prefill:0 embed, tick 0
0	embed  rows 0-82 of 83  (synthetic weights)
Starting request: tests/dialogue/fox.txt, 83 tokens and a question of 18 (chat; f32, cpu, synthetic weights: timing only)

prefill:0 embed, tick 0
0	embed  rows 0-82 of 83  (synthetic weights)
Starting request: tests/dialogue/fox.txt, 83 tokens and a question of 14 (chat; f32, cpu, synthetic weights: timing only)

prefill:0 embed, tick 0
0	embed  rows 0-82 of 83  (synthetic weights)
3 rows: 3 passed, 0 failed

## for-each: the command line's question about each row's prompt
$ printf '{"document":"some words here"}\n{"prompt":"more words"}\n' >$T/r; kvdbg -nx --for-each $T/r --question what -ex 'if $_row == 0' -ex 'prompt $document' -ex start synthetic:tiny --precision f32
> echo 'if $_row == 0
> prompt $document
> end
> start' >$T/s
> kvdbg -nx --for-each $T/r --question what -x $T/s synthetic:tiny --precision f32
`if' needs the lines that follow it: put them into a file (-x) or type them at the prompt.
$T/r:1: row 0 failed.
2 rows: 0 passed, 1 failed (row 0: `if' needs the lines that follow it: put them into a file (-x) or type them at the prompt.), 1 not run
Prompt: $document, 15 bytes, 15 tokens (chat template), and a question
Starting request: $document, 15 tokens and a question of 14 (chat; f32, cpu, synthetic weights: timing only)

prefill:0 embed, tick 0
0	embed  rows 0-14 of 15  (synthetic weights)
Starting request: $T/r:2, 12 tokens and a question of 14 (chat; f32, cpu, synthetic weights: timing only)

prefill:0 embed, tick 0
0	embed  rows 0-11 of 12  (synthetic weights)
2 rows: 2 passed, 0 failed

## for-each: rows that are wrong, gone past
$ printf '{"prompt":"a b"}\n{"prompt":"a"\n[1]\n{"prompt":7}\n{"prompt":""}\n{"prompt":"a\\u0000b"}\n{"prompt":"\377"}\n{"prompt":"a"} x\n' >$T/r
> printf '{"prompt":"a\0b"}\n{"id":1}\n{"prompt":"%s"}\n{"prompt":"good"}' "$(head -c 3000 /dev/zero | tr '\0' x)" >>$T/r
> kvdbg -nx --for-each $T/r --keep-going -ex 'set decode.tokens 1' -ex start synthetic:tiny --precision f32
Starting request: $T/r:1, 17 tokens (chat; f32, cpu, synthetic weights: timing only)

prefill:0 embed, tick 0
0	embed  rows 0-16 of 17  (synthetic weights)
$T/r:2: The line is no JSON object: it cannot be read from byte 13 on.
$T/r:2: row 1 failed.
$T/r:3: The line is JSON, but no object.
$T/r:3: row 2 failed.
$T/r:4: "prompt" must be a text.
$T/r:4: row 3 failed.
$T/r:5: The prompt is empty.
$T/r:5: row 4 failed.
$T/r:6: The line holds \u0000; no text here holds a NUL.
$T/r:6: row 5 failed.
$T/r:7: Byte 11 of the line is no UTF-8.
$T/r:7: row 6 failed.
$T/r:8: The line is no JSON object: it cannot be read from byte 15 on.
$T/r:8: row 7 failed.
$T/r:9: Byte 12 of the line is 0; no text here holds a NUL.
$T/r:9: row 8 failed.
No prompt.  Use "prompt FILE" or "prompt -text TEXT" (options -p, --text).
$T/r:10: row 9 failed.
$T/r:11: The prompt has 3015 tokens; the model's context holds 512, reply included.
$T/r:11: row 10 failed.
Starting request: $T/r:12, 19 tokens (chat; f32, cpu, synthetic weights: timing only)

prefill:0 embed, tick 0
0	embed  rows 0-18 of 19  (synthetic weights)
12 rows: 2 passed, 10 failed (rows 1, 2, 3, 4, 5, 6, 7, 8, ...; row 1: The line is no JSON object: it cannot be read from byte 13 on.)
[1]

## for-each: without --keep-going the first failed row is the end
$ printf '{"n":1}\n{"n":2}\n{"n":3}\n' >$T/r; kvdbg -nx --for-each $T/r -ex 'print $n' -ex 'assert $n != 2, "two"' -ex 'print "fine"' synthetic:tiny
$1 = 1
$2 = "fine"
$1 = 2
Assertion failed: two: $n != 2.
$T/r:2: row 1 failed.
3 rows: 1 passed, 1 failed (row 1: Assertion failed: two: $n != 2.), 1 not run
[3]

## for-each: the first failure's status is the run's
$ printf '{"n":1}\n{"n":2}\n{"n":3}\n' >$T/r; kvdbg -nx --for-each $T/r --keep-going -ex 'quit $n - 1' synthetic:tiny
$T/r:2: row 1 failed.
$T/r:3: row 2 failed.
3 rows: 1 passed, 2 failed (rows 1, 2; row 1: exit status 1)
[1]

## for-each: a row that an event ends has failed; what is handled in one row is not in the next
$ printf '{"n":1}\n{"n":2}\n' >$T/r; echo 'if $_row == 0
> handle EOS stop
> end
> run
> pipe info signals | grep EOS' >$T/s
> kvdbg -nx --for-each $T/r --keep-going -p tests/dialogue/fox.txt -x $T/s synthetic:tiny --precision f32 --threads 1
Signal        Stop	Print	Description
EOS           Yes	Yes	End of the reply by the model
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
e�^

Program received signal EOS, End of the reply by the model.
done, tick 115
115	done
EOS           Yes	Yes	End of the reply by the model
$T/r:1: row 0 failed.
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
e�^
[Request finished: 3 reply tokens, ended by the model; f32, cpu, synthetic weights: timing only]
EOS           No	Yes	End of the reply by the model
2 rows: 1 passed, 1 failed (row 0: exit status 6)
[6]

## for-each: shares that concatenate to the whole
$ for i in 1 2 3 4 5 6 7; do echo "{\"prompt\":\"prompt number $i\"}"; done >$T/r
> kvdbg --for-each $T/r -nx -ex 'set decode.tokens 2' -ex run -ex 'info kept' -ex 'print $_row' --precision f32 synthetic:tiny 2>/dev/null >$T/all
> for i in 1 2 3; do kvdbg --for-each $T/r --shard $i/3 -nx -ex 'set decode.tokens 2' -ex run -ex 'info kept' -ex 'print $_row' --precision f32 synthetic:tiny 2>>$T/sums >>$T/parts; done
> cmp $T/all $T/parts && grep -c Kept $T/all; cat $T/sums
7
2 rows (shard 1/3): 2 passed, 0 failed
2 rows (shard 2/3): 2 passed, 0 failed
3 rows (shard 3/3): 3 passed, 0 failed

## for-each: more shares than rows
$ echo '{"n":1}' >$T/r; for i in 1 2 3; do kvdbg -nx --for-each $T/r --shard $i/3 -ex 'print $n' synthetic:tiny; done
0 rows (shard 1/3): 0 passed, 0 failed
0 rows (shard 2/3): 0 passed, 0 failed
$1 = 1
1 row (shard 3/3): 1 passed, 0 failed

## for-each: another model in a row does not stay
$ printf '{"n":1}\n{"n":2}\n' >$T/r; kvdbg -nx --for-each $T/r -ex 'print $nlayer' -ex 'file synthetic:smollm2-135m' -ex 'print $nlayer' synthetic:tiny
$1 = 3
Model: synthetic:smollm2-135m; settings are at their defaults, and it has no prompt yet.
$2 = 30
$1 = 3
Model: synthetic:smollm2-135m; settings are at their defaults, and it has no prompt yet.
$2 = 30
2 rows: 2 passed, 0 failed

## for-each: no rows
$ : >$T/r; kvdbg -nx --for-each $T/r -ex 'print 1' synthetic:tiny
0 rows: 0 passed, 0 failed

## for-each: a file that is not there
$ kvdbg -nx --for-each $T/none -ex 'print 1' synthetic:tiny
$T/none: No such file or directory.
[2]

## for-each: a folder
$ kvdbg -nx --for-each $T -ex 'print 1' synthetic:tiny
$T: Is a directory.
[2]

## for-each: nothing to run
$ kvdbg -nx --for-each $T/none synthetic:tiny
kvdbg: --for-each needs commands to run for each row: -x FILE or -ex COMMAND.
[2]

## shard without rows
$ kvdbg -nx --shard 1/2 synthetic:tiny
kvdbg: --shard needs rows to share out: --for-each FILE.
[2]

## shard that is none
$ kvdbg -nx --for-each x -ex run --shard 3/2 synthetic:tiny
kvdbg: --shard is I/N with 1 <= I <= N, not "3/2".
[2]

## shard with more behind it
$ kvdbg -nx --for-each x -ex run --shard 1/2x synthetic:tiny
kvdbg: --shard is I/N with 1 <= I <= N, not "1/2x".
[2]

## for-each: an interrupt ends it
$ for i in 1 2; do printf '{"prompt":"%s"}\n' "$(head -c 5000 sessions/tour.txt | tr '\n"' '  ')"; done >$T/r
> timeout --preserve-status -s INT 5 "$KVDBG" -nx --for-each $T/r --keep-going synthetic:smollm2-135m --precision f32 --threads 1 -ex run 2>&1 >/dev/null
Interrupted.
$T/r:1: row 0 failed.
2 rows: 0 passed, 1 failed (row 0: Interrupted.), 1 not run
[130]

