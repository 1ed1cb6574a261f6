Command lines that cannot work: one sentence and the documented status each.

## unknown option
$ kvdbg --foo
kvdbg: Unrecognized option --foo.  Use `kvdbg --help' for a list of options.
[2]

## option without its argument
$ kvdbg -ex
kvdbg: Option -ex requires an argument.  Use `kvdbg --help' for a list of options.
[2]

## unknown interpreter
$ kvdbg --interpreter mi
kvdbg: --interpreter is console or jsonl, not "mi".
[2]

## two models
$ kvdbg a.gguf b.gguf
kvdbg: Two models are named: "a.gguf" and "b.gguf".
[2]

## prompt and text at once
$ kvdbg --text a -p b
kvdbg: Both --prompt and --text are given; choose one.
[2]

## chat that is neither on nor off
$ kvdbg --chat maybe
kvdbg: --chat is on or off, not "maybe".
[2]

## missing model
$ kvdbg -batch $T/none.gguf -ex run
Model file '$T/none.gguf' cannot be opened: No such file or directory.
[4]

## default model that is not there
$ cp "$KVDBG" "$T/kvdbg" && cd "$T" && ./kvdbg -batch -ex run
There is no models/smollm2-135m-instruct-q4_1.gguf; fetch it with `make model', or name a model.
[4]

## model that is a folder
$ kvdbg -batch $T -ex run
Folder '$T' has no config.json, so it is no model.
[4]

## empty model file
$ : >$T/m.gguf; kvdbg -batch $T/m.gguf -ex run
Model file '$T/m.gguf' is empty.
[4]

## model file that is text
$ kvdbg -batch tests/dialogue/fox.txt -ex run
This is no GGUF file: it begins with 'The ', expected 'GGUF'.
[4]

## unknown synthetic shape
$ kvdbg -batch synthetic:gpt-9 -ex run
There is no synthetic model 'gpt-9'; there are qwen3-4b, qwen3-4b-128k, mistral-7b, smollm2-135m, tiny, tiny-sliding, tiny-qwen3, tiny-mistral and long.
[4]

## unknown backend
$ kvdbg -batch synthetic:tiny --backend tpu -ex run
engine.backend must be one of auto, cpu, cuda, got "tpu".
[2]

## unknown precision
$ kvdbg -batch synthetic:tiny --precision f8 -ex run
engine.precision must be one of fast, f32, int8, got "f8".
[2]

## no threads
$ kvdbg -batch synthetic:tiny --threads 0 -ex run
engine.threads must be auto or a whole number in 1..1024, got "0".
[2]

## missing prompt file
$ kvdbg -batch synthetic:tiny -p $T/none.txt -ex run
$T/none.txt: No such file or directory.
[4]

## prompt file that is a folder
$ kvdbg -batch synthetic:tiny -p $T -ex run
$T: Is a directory.
[4]

## prompt file that is no text
$ printf 'a\000b' >$T/p; kvdbg -batch synthetic:tiny -p $T/p -ex run
$T/p is no text: byte 1 is 0.
[4]

## endless prompt file
$ kvdbg -batch synthetic:tiny -p /dev/zero -ex run
/dev/zero is longer than 64 MiB, too long for a prompt.
[4]

## empty prompt file
$ : >$T/p; kvdbg -batch synthetic:tiny -p $T/p -ex run
$T/p is empty; a prompt needs at least one token.
[4]

## empty text
$ kvdbg -batch synthetic:tiny --text '' -ex run
The prompt is empty.
[4]

## prompt longer than the context
$ head -c 4000 /dev/zero | tr '\0' 'x' >$T/p; kvdbg -batch synthetic:tiny -p $T/p -ex run
The prompt has 4015 tokens; the model's context holds 512, reply included.
[4]

## question without a prompt
$ kvdbg -batch synthetic:tiny --question what -ex run
--question needs a prompt to ask about: --prompt FILE or --text S.
[2]

## prompt of one token, shorter than sinks and recent
$ kvdbg -batch synthetic:tiny --chat off --text a -ex 'set decode.tokens 2' -ex run -ex 'info kept'
Starting request: (text), 1 token (plain text; fast, cpu, synthetic weights: timing only)
^ and
[Request finished: 2 reply tokens, cut by decode.tokens or by the context; fast, cpu, synthetic weights: timing only]
Kept tokens of the 1 in the prompt (fast, cpu, synthetic weights: timing only)
layer    kept   share  positions
    0       1  100.0%  0
    1       1  100.0%  0
    2       1  100.0%  0

## missing script
$ kvdbg -batch synthetic:tiny -x $T/none.kv -ex 'print 1'
$T/none.kv: No such file or directory.
[2]

## script that is a folder
$ kvdbg -batch synthetic:tiny -x $T
$T: Is a directory.
[2]

## script that is no text
$ printf 'print 1\n\001\002\n' >$T/s; kvdbg -batch synthetic:tiny -x $T/s
$1 = 1
$T/s:2: Error in sourced command file:
The file has control characters; it is no script.
[1]

## script that ends inside a block
$ printf 'print 1\nif 1\nprint 2\n' >$T/s; kvdbg -batch synthetic:tiny -x $T/s
$1 = 1
$T/s:2: Error in sourced command file:
The file ends inside the block that `if' begins in line 2; `end' is missing.
[1]

## script that sources itself
$ echo "source $T/s" >$T/s; kvdbg -batch synthetic:tiny -x $T/s 2>&1 | tail -1
Scripts source each other more than 16 deep.

## failed command stops a batch
$ kvdbg -batch synthetic:tiny -ex foo -ex 'print 1'
Undefined command: "foo".  Try "help".
[1]

## --keep-going goes on and still fails
$ kvdbg -batch --keep-going synthetic:tiny -ex foo -ex 'print 1'
Undefined command: "foo".  Try "help".
$1 = 1
[1]

## failed assertion
$ kvdbg -batch synthetic:tiny -ex 'assert 1 == 2, "sums"'
Assertion failed: sums: 1 == 2.
[3]

## quit with a status
$ kvdbg -batch synthetic:tiny -ex 'quit 9' -ex foo
[9]

## ratio 0
$ kvdbg -batch synthetic:tiny -ex 'set policy.ratio 0'
policy.ratio must be in (0, 1], got "0".
[1]

## ratio -1
$ kvdbg -batch synthetic:tiny -ex 'set policy.ratio -1'
policy.ratio must be in (0, 1], got "-1".
[1]

## ratio 2
$ kvdbg -batch synthetic:tiny -ex 'set policy.ratio 2'
policy.ratio must be in (0, 1], got "2".
[1]

## ratio nan
$ kvdbg -batch synthetic:tiny -ex 'set policy.ratio nan'
policy.ratio must be in (0, 1], got "nan".
[1]

## ratio that is a word
$ kvdbg -batch synthetic:tiny -ex 'set policy.ratio half'
policy.ratio must be in (0, 1], got "half".
[1]

## tokens above the prompt's
$ kvdbg -batch synthetic:tiny --text hello -ex 'set policy.tokens 1000' -ex run
Starting request: (text), 18 tokens (chat; fast, cpu, synthetic weights: timing only)
policy.tokens is 1000, but the prompt has 18 tokens.
[1]

## negative tokens
$ kvdbg -batch synthetic:tiny -ex 'set policy.tokens -5'
policy.tokens must be a whole number of tokens, at least 1, got "-5".
[1]

## two names of one budget
$ kvdbg -batch synthetic:tiny -ex 'set policy.ratio 0.5 policy.bytes 100'
policy.ratio and policy.bytes are two names of one budget; give one of them.
[1]

## setting without a value
$ kvdbg -batch synthetic:tiny -ex 'set policy.ratio'
Argument required (value of policy.ratio: in (0, 1]).
[1]

## unknown preset
$ kvdbg -batch synthetic:tiny -ex 'set policy best'
policy.preset must be one of seed, seed-literal, uniform, inverse, full, pyramid, cake, zigzag, squeeze, meda, lava, tova, h2o, streaming, snapkv, adakv, tuned, manual, got "best".
[1]

## nothing half set when one of several is wrong
$ kvdbg -batch --keep-going synthetic:tiny -ex 'set decode.tokens 3 policy.ratio 7' -ex 'show decode.tokens'
policy.ratio must be in (0, 1], got "7".
decode.tokens        128
[1]

## unterminated string
$ kvdbg -batch synthetic:tiny -ex 'prompt -text "abc'
Unterminated string: " is missing at the end.
[1]

## full disk behind the output
$ kvdbg -batch synthetic:tiny -ex 'print 1' >/dev/full
Cannot write the output: No space left on device.
[1]

## export onto a file of someone else
$ echo mine >$T/x.csv; kvdbg -batch -q synthetic:tiny --text hello -ex "export csv $T/x.csv tok"; s=$?; cat $T/x.csv; exit $s
$T/x.csv is there already and is not this session's or this recipe's work; -f overwrites it.
mine
[1]

## export onto a file of someone else, by force
$ echo mine >$T/x.csv; kvdbg -batch -q synthetic:tiny --chat off --text hello -ex "export csv -f $T/x.csv tok" >/dev/null; cat $T/x.csv
position,value,text
0,257,he
1,285,ll
2,111,o

## export of the same recipe by another session
$ for i in 1 2; do kvdbg -batch -q synthetic:tiny --text hello -ex run -ex "export png $T/e.png entropy" >/dev/null; sha256sum <$T/e.png >$T/$i; done; cmp $T/1 $T/2 && ls -A $T
1
2
e.png

## export into a folder that cannot be
$ kvdbg -batch -q synthetic:tiny --text hello -ex "export csv $T/a/b/c.csv tok"
Cannot write $T/a/b/c.csv: No such file or directory.
[1]

## export to a device
$ kvdbg -batch -q synthetic:tiny --text hello -ex 'export csv /dev/full tok'
Cannot write /dev/full: it is not a regular file.
[1]

## end of input is the end
$ kvdbg -q synthetic:tiny

## errors on standard input do not stop, but show in the status
$ printf 'foo\nprint 1\n' | kvdbg -q synthetic:tiny
Undefined command: "foo".  Try "help".
$1 = 1
[1]

## line too long
$ { printf 'print '; head -c 3000 /dev/zero | tr '\0' '1'; echo; } | kvdbg -q synthetic:tiny
The line has 3006 bytes; 1023 are the limit.
[1]

## deep expression
$ kvdbg -q -batch synthetic:tiny -ex "print $(head -c 900 /dev/zero | tr '\0' '(')1"
The expression is nested too deeply.
[1]

## version
$ kvdbg --version
kvdbg 0.1

## help
$ kvdbg --help
kvdbg: GDB for the KV cache.

Usage: kvdbg [options] [MODEL]

MODEL is a GGUF file, a Hugging Face folder or synthetic:NAME (random weights, timing only); without it,
models/smollm2-135m-instruct-q4_1.gguf, which `make model' fetches.

Options:
  -p, --prompt FILE           read the prompt from FILE
  -c, --core FILE             look at a core file, without its model
  --text TEXT                 take TEXT as the prompt
  --prompt-ids FILE|LIST      take the token ids in FILE, or those of LIST (1,2,3), as the prompt
  --question TEXT             ask TEXT about the prompt
  --chat on|off               wrap the prompt in the model's chat template (default: where it has one)
  -x FILE                     run the commands in FILE
  -ex COMMAND                 run one COMMAND; -x and -ex run in the order given
  -ix FILE, -iex COMMAND      the same, before the init file of the current folder is read
  -batch                      exit after the commands; stop at the first that fails
  --keep-going                with -batch, go on after a failure; with --for-each, after a failed row
  --json                      objects instead of text, one a line; --interpreter=jsonl is the same
  --for-each FILE.jsonl       run the commands once for each row of FILE, its fields as variables
  --shard I/N                 with --for-each, only the I-th of N shares of the rows
  --on-error COMMAND          with -batch, run COMMAND when a command has failed
  --gdb-exit                  with -batch, go on after a failure, and exit as GDB does: 1 if the last -x or -ex failed
  --cd FOLDER                 change to FOLDER first
  --readonly                  refuse commands that write files or start other programs
  -q, --quiet                 do not print the greeting
  -nx                         do not read init files
  -nh                         do not read the init file of the home folder
  -nw                         use the plain prompt
  --color N                   colors of the screen: auto (default), none, 8, 256, truecolor
  --keys FILE                 draw the screen nowhere: keys come from FILE, which says when to print it
  --backend auto|cpu|cuda     what computes
  --precision fast|f32|int8   f32 is the reference
  --kv f16|f32|bf16           element type of K and V
  --threads N                 number of threads
  --version                   print the version and exit
  --help                      print this and exit

Exit status: 0 all fine; 1 a command failed; 2 bad command line or unreadable script; 3 an assertion
failed; 4 model or prompt cannot be loaded; 5 out of memory; 6 an engine event; 130 interrupted;
`quit N' exits with N.

## interrupt in a batch
$ head -c 5000 sessions/tour.txt >$T/p
> for after in 2 6 15 40; do
>   timeout --preserve-status -s INT $after "$KVDBG" -q -batch synthetic:smollm2-135m --precision f32 --threads 1 -p $T/p -ex run -ex 'print 1' >$T/out 2>&1
>   status=$?
>   grep -q SIGINT $T/out && break
> done
> sed -n '1s/,.*//p; /SIGINT/p; $p' $T/out
> exit $status
Starting request: $T/p
Program received signal SIGINT, Interrupt.
Interrupted.
[130]

