The error table (one sentence each, on stderr, and the status of a batch), a row a case.

## unknown command
$ kvdbg -batch --precision f32 --threads 1 -ex 'nosuch' synthetic:tiny
Undefined command: "nosuch".  Try "help".
[1]

## unknown command, one slip away
$ kvdbg -batch --precision f32 --threads 1 -ex 'stpe' synthetic:tiny
Undefined command: "stpe".  Try "help".  Did you mean "step"?
[1]

## unknown word of a group
$ kvdbg -batch --precision f32 --threads 1 -ex 'info nosuch' synthetic:tiny
Undefined info command: "nosuch".  Try "help info".
[1]

## unknown word of a group, one slip away
$ kvdbg -batch --precision f32 --threads 1 -ex 'info budgte' synthetic:tiny
Undefined info command: "budgte".  Try "help info".  Did you mean "budget"?
[1]

## unknown set
$ kvdbg -batch --precision f32 --threads 1 -ex 'set nosuch 1' synthetic:tiny
Undefined set command: "nosuch".  Try "help set".
[1]

## unknown show
$ kvdbg -batch --precision f32 --threads 1 -ex 'show nosuch' synthetic:tiny
Undefined show command: "nosuch".  Try "help show".
[1]

## ambiguous command
$ kvdbg -batch --precision f32 --threads 1 -ex 're' synthetic:tiny
Ambiguous command "re": recompress, remove-inferiors, reverse-step, reverse-next, reverse-stepi, reverse-nexti, reverse-continue, reverse-finish, record, restart, regret, refresh.
[1]

## ambiguous word of a group
$ kvdbg -batch --precision f32 --threads 1 -ex 'info k' synthetic:tiny
Ambiguous info command "k": kv, kept.
[1]

## ambiguous setting
$ kvdbg -batch --precision f32 --threads 1 -ex 'set policy.r 1' synthetic:tiny
Ambiguous setting "policy.r": policy.ratio, policy.recent, policy.rows, policy.reduce.
[1]

## missing argument: why
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'why' synthetic:tiny >/dev/null
Argument required (token index, @POS or "text").
[1]

## missing argument: output
$ kvdbg -batch --precision f32 --threads 1 -ex 'output' synthetic:tiny
Argument required (expression to compute).
[1]

## missing argument: set
$ kvdbg -batch --precision f32 --threads 1 -ex 'set policy.ratio' synthetic:tiny
Argument required (value of policy.ratio: in (0, 1]).
[1]

## missing argument: source
$ kvdbg -batch --precision f32 --threads 1 -ex 'source' synthetic:tiny
Argument required (file of commands to run).
[1]

## missing argument: condition
$ kvdbg -batch --precision f32 --threads 1 -ex 'condition' synthetic:tiny
Argument required (breakpoint number).
[1]

## missing argument: ignore
$ kvdbg -batch --precision f32 --threads 1 -ex 'ignore' synthetic:tiny
Argument required (breakpoint number).
[1]

## missing argument: watch
$ kvdbg -batch --precision f32 --threads 1 -ex 'watch' synthetic:tiny
Argument required (expression to compute).
[1]

## missing argument: catch
$ kvdbg -batch --precision f32 --threads 1 -ex 'catch' synthetic:tiny
catch, cat -- Stop when something happens.
Usage: catch EVENT

List of catch subcommands:

catch phase -- A phase begins.
catch compress -- Compress begins.
catch evict -- A layer evicts tokens, or one of those named.
catch evict-all -- Every layer has evicted a token, or one of those named.
catch read-miss -- A layer of ask or decode would read an evicted token, above kv read-floor, had it kept all.
catch sink-loss -- A layer keeps not all of the first tokens (policy.sinks, at least one).
catch clamp -- A layer's budget is at policy.floor or policy.cap, not what its weight asks for.
catch empty -- A layer keeps no token.
catch nan -- An entropy, a score or a logit is not a finite number.
catch collapse -- The prefill ends with a head whose mean entropy is below H nats.
catch diverge -- Decode reaches the first step whose KL from the full cache is above KL nats.
catch eos -- The model ends its reply.
catch oom -- Memory does not suffice for a stage.
catch repeat -- The reply's last N tokens (8) are those before them once more.
catch token -- The reply has come to say a text.

## missing argument: jump
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex start -ex 'jump' synthetic:tiny >/dev/null
Argument required (starting address).
[1]

## missing argument: advance
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex start -ex 'advance' synthetic:tiny >/dev/null
Argument required (a location).
[1]

## no prompt
$ kvdbg -batch --precision f32 --threads 1 -ex 'run' synthetic:tiny
No prompt.  Use "prompt FILE" or "prompt -text TEXT" (options -p, --text).
[1]

## no run: step
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'step' synthetic:tiny
The request is not being run.
[1]

## no run: continue
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'continue' synthetic:tiny
The request is not being run.
[1]

## no run: finish
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'finish' synthetic:tiny
The request is not being run.
[1]

## no run: until
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'until' synthetic:tiny
The request is not being run.
[1]

## no run: backtrace
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'backtrace' synthetic:tiny
The request is not being run.
[1]

## no run: reverse-step
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'reverse-step' synthetic:tiny
The request is not being run.
[1]

## no run: record goto
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'record goto 3' synthetic:tiny
The request is not being run.
[1]

## no run: checkpoint
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'checkpoint' synthetic:tiny
The request is not being run.
[1]

## no run: info kv
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'info kv' synthetic:tiny
The request is not being run.
[1]

## a finished request
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'next' synthetic:tiny >/dev/null
The request has finished; "run" starts it again, "recompress" goes back to compress.
[1]

## bad breakpoint number: delete
$ kvdbg -batch --precision f32 --threads 1 -ex 'delete 99' synthetic:tiny
No breakpoint number 99.
[1]

## bad breakpoint number: condition
$ kvdbg -batch --precision f32 --threads 1 -ex 'condition 99 1' synthetic:tiny
No breakpoint number 99.
[1]

## bad breakpoint number: enable
$ kvdbg -batch --precision f32 --threads 1 -ex 'enable 99' synthetic:tiny
No breakpoint number 99.
[1]

## bad breakpoint number: commands
$ kvdbg -batch --precision f32 --threads 1 -ex 'commands 99' synthetic:tiny
No breakpoint number 99.
[1]

## no number at all
$ kvdbg -batch --precision f32 --threads 1 -ex 'delete x' synthetic:tiny
Bad breakpoint number 'x'.
[1]

## bad display number
$ kvdbg -batch --precision f32 --threads 1 -ex 'undisplay 99' synthetic:tiny
No display number 99.
[1]

## bad checkpoint number
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex start -ex 'restart 99' synthetic:tiny >/dev/null
No checkpoint number 99.
[1]

## bad place
$ kvdbg -batch --precision f32 --threads 1 -ex 'break nowhere' synthetic:tiny
Bad location "nowhere": no phase "nowhere" (prefill compress ask decode done).  A location is PHASE[:N], [PHASE[:N]:]L<n>[.STAGE], [PHASE[:N]].STAGE, *TICK, @POS or "TEXT".
[1]

## bad layer of a place
$ kvdbg -batch --precision f32 --threads 1 -ex 'break L99' synthetic:tiny
Layer 99 out of range; model has 3 (0-2).
[1]

## bad stage of a place
$ kvdbg -batch --precision f32 --threads 1 -ex 'break L1.nosuch' synthetic:tiny
Bad location "L1.nosuch": no stage "nosuch" (embed norm qkv rope append attend observe oproj ffn head sample allocate select gather).  A location is PHASE[:N], [PHASE[:N]:]L<n>[.STAGE], [PHASE[:N]].STAGE, *TICK, @POS or "TEXT".
[1]

## bad symbol
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'print entopy' synthetic:tiny >/dev/null
No value "entopy" here.  Did you mean "entropy"?
[1]

## bad index
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'print E[40]' synthetic:tiny >/dev/null
Layer 40 out of range; model has 3 (0-2).
[1]

## bad index of a head
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'print entropy[0][99]' synthetic:tiny >/dev/null
Head 99 out of range; model has 4 (0-3).
[1]

## bad token
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'why 4000' synthetic:tiny >/dev/null
Token 4000 out of range; the prompt has 93 (0-92).
[1]

## text that is not there
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'why "zebra"' synthetic:tiny >/dev/null
The prompt does not say "zebra".
[1]

## not yet computed
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex start -ex 'print score[0][0]' synthetic:tiny >/dev/null
score is not available before compress has selected in every layer (now in prefill:0).
[1]

## not before the prefill is done
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex start -ex 'info budget' synthetic:tiny >/dev/null
info budget is not available before the prefill is done (now in prefill:0).
[1]

## not before compress is done
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex start -ex next -ex 'why 3' synthetic:tiny >/dev/null
why is not available before compress is done (now in compress:0).
[1]

## syntax
$ kvdbg -batch --precision f32 --threads 1 -ex 'print 1 +' synthetic:tiny
A syntax error in expression, near `'.
  1 +
     ^
[1]

## syntax in the middle
$ kvdbg -batch --precision f32 --threads 1 -ex 'print (1 + ) * 2' synthetic:tiny
A syntax error in expression, near `) * 2'.
  (1 + ) * 2
       ^
[1]

## unterminated string
$ kvdbg -batch --precision f32 --threads 1 -ex 'print "abc' synthetic:tiny
Unterminated string in expression.
  "abc
  ^
[1]

## division by zero
$ kvdbg -batch --precision f32 --threads 1 -ex 'print 1 / 0' synthetic:tiny
Division by zero
[1]

## bad setting value: a word
$ kvdbg -batch --precision f32 --threads 1 -ex 'set policy.allocator nosuch' synthetic:tiny
policy.allocator must be one of entropy, uniform, inverse, pyramid, cake, zigzag, squeeze, meda, lava, tuned, manual, got "nosuch".
[1]

## bad setting value: a number
$ kvdbg -batch --precision f32 --threads 1 -ex 'set policy.ratio 2' synthetic:tiny
policy.ratio must be in (0, 1], got "2".
[1]

## bad setting value: two budgets at once
$ kvdbg -batch --precision f32 --threads 1 -ex 'set policy.ratio 0.5 policy.tokens 30' synthetic:tiny
policy.ratio and policy.tokens are two names of one budget; give one of them.
[1]

## bad setting value: on or off
$ kvdbg -batch --precision f32 --threads 1 -ex 'set confirm maybe' synthetic:tiny
"on" or "off" expected.
[1]

## bad policy
$ kvdbg -batch --precision f32 --threads 1 -ex 'set policy nosuch' synthetic:tiny
policy.preset must be one of seed, seed-literal, uniform, inverse, full, pyramid, cake, zigzag, squeeze, meda, lava, tova, h2o, streaming, snapkv, adakv, tuned, manual, got "nosuch".
[1]

## script error, nested
$ printf 'echo outer\\n\n\nsource %s\n' $T/b.kv >$T/a.kv; printf 'start\nprint nosuch\n' >$T/b.kv; kvdbg -batch -p tests/dialogue/fox.txt --precision f32 -x $T/a.kv synthetic:tiny
outer
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)

prefill:0 embed, tick 0
0	embed  rows 0-92 of 93  (synthetic weights)
$T/a.kv:3: Error in sourced command file:
$T/b.kv:2: Error in sourced command file:
No value "nosuch" here.
(at prefill:0 embed, tick 0; focus layer 0 head 0)
[1]

## history beyond its end
$ kvdbg -batch --precision f32 --threads 1 -ex 'print $9' synthetic:tiny
History has not yet reached $9.
[1]

## history that is empty
$ kvdbg -batch --precision f32 --threads 1 -ex 'print $' synthetic:tiny
The history is empty.
[1]

## file that is not there
$ kvdbg -batch --precision f32 --threads 1 -ex 'source /nonexistent.kv' synthetic:tiny
/nonexistent.kv: No such file or directory.
[1]

## script that is not there
$ kvdbg -batch --precision f32 --threads 1 -x /nonexistent.kv synthetic:tiny
/nonexistent.kv: No such file or directory.
[2]

## assertion
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'assert E[0] > 9, "flat"' synthetic:tiny >/dev/null
Assertion failed: flat: E[0] > 9.
[3]

## another stop than expected
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'expect-stop breakpoint 1' synthetic:tiny >/dev/null
Expected a stop by breakpoint 1; the last was by done.
[3]

## model that is not there
$ kvdbg -batch -ex run /nonexistent.gguf
Model file '/nonexistent.gguf' cannot be opened: No such file or directory.
[4]

## prompt that is not there
$ kvdbg -batch --precision f32 --threads 1 -p /nonexistent.txt synthetic:tiny
/nonexistent.txt: No such file or directory.
[4]

## export to nowhere
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'export npy /nonexistent/a/b.npy E' synthetic:tiny >/dev/null
Cannot write /nonexistent/a/b.npy: No such file or directory.
[1]

## heat of nothing
$ kvdbg -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'heat nosuch' synthetic:tiny >/dev/null
"nosuch" is none of entropy, entropy_q, score, kept, budget, attn, curve, kl, regret.
[1]

## undefined format
$ kvdbg -batch --precision f32 --threads 1 -ex 'print/k 1' synthetic:tiny
Undefined output format "k".
[1]

## quit with a status that is none
$ kvdbg -batch --precision f32 --threads 1 -ex 'quit 300' synthetic:tiny
An exit status is a whole number in 0..255, not 300.
[1]

