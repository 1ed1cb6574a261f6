Other programs, lines that are made, settings for one command, and the log.

## exit status of a shell command
$ kvdbg -batch -ex 'shell exit 3' -ex 'print $_shell_exitcode' -ex '!true' -ex '! echo from the shell' -ex 'print $_shell_exitcode' synthetic:tiny
$1 = 3
from the shell
$2 = 0

## a shell command that is killed
$ kvdbg -batch -ex 'shell kill -9 $$' -ex 'print $_shell_exitcode' -ex 'print $_shell_exitsignal' synthetic:tiny
$1 = void
$2 = 9

## shell without a command, in a batch
$ kvdbg -batch -ex shell synthetic:tiny
Argument required (command for the shell).
[1]

## pipe, long and short
$ kvdbg -batch -ex 'pipe print 5 | tr 5 6' -ex '|print 7|tr 7 8' -ex '| info model | head -1' -ex 'pipe -d @@ print 1 || 0 @@ cat' -ex 'print $_shell_exitcode' synthetic:tiny
$1 = 6
$2 = 8
Model:          synthetic:tiny  (synthetic weights)
$3 = 1
$4 = 0

## a reader that has had enough
$ kvdbg -batch -ex 'pipe help all | true' -ex 'print $_shell_exitcode' synthetic:tiny
$1 = 0

## a command in a pipe that fails
$ kvdbg -batch -ex 'pipe nosuch | cat' -ex 'echo not reached' synthetic:tiny
Undefined command: "nosuch".  Try "help".
[1]

## pipes without their parts
$ kvdbg -batch --keep-going -ex pipe -ex 'pipe print 1' -ex 'pipe print 1 |' -ex 'pipe | cat' -ex 'pipe -d' -ex 'pipe -d x print 1' synthetic:tiny
Missing COMMAND
Missing delimiter before SHELL_COMMAND
Missing SHELL_COMMAND
Missing COMMAND
-d requires an argument
Missing delimiter before SHELL_COMMAND
[1]

## a pipe in a pipe
$ kvdbg -batch -ex 'pipe pipe print 5 | tr 5 6 | tr 6 7' synthetic:tiny
Missing delimiter before SHELL_COMMAND
[1]

## eval
$ kvdbg -batch -ex 'set $n = 4' -ex 'eval "print %d * %d", $n, 2' -ex 'eval "set decode.tokens %d", $n + 1' -ex 'show decode.tokens' synthetic:tiny
$1 = 8
decode.tokens        5

## eval without a format
$ kvdbg -batch --keep-going -ex eval -ex 'eval "%d"' -ex 'eval "nosuch"' synthetic:tiny
Argument required (format-control string and values to print).
Wrong number of arguments for specified format-string
Undefined command: "nosuch".  Try "help".
[1]

## with changes a setting for one command
$ kvdbg -batch -ex 'with decode.tokens 7 -- show decode.tokens' -ex 'show decode.tokens' -ex 'with print elements 2 -- print E[*]' -ex 'with policy uniform policy.tokens 40 -- show policy.preset' -ex 'show policy' -p tests/dialogue/fox.txt -ex run -ex 'with print elements 2 -- print E[*]' --keep-going synthetic:tiny
decode.tokens        7
decode.tokens        128
E is not available before the request is run.
policy.preset        uniform
policy.preset        seed
policy.allocator     entropy
policy.selector      sum
policy.ratio         0.25
policy.tokens        unset
policy.bytes         unset
policy.sinks         4
policy.recent        32
policy.floor         auto
policy.cap           auto
policy.rows          all
policy.window        32
policy.entropy       raw
policy.power         1
policy.beta          20
policy.tau1          1
policy.tau2          1
policy.temperature   1
policy.mass          0.9
policy.boundary      0.2
policy.share         0.3
policy.gamma         200
policy.future        512
policy.epsilon       0
policy.pool          auto
policy.kernel        5
policy.reduce        sum
policy.group         shared
policy.alpha         1
policy.query-aware   on
policy.every         0
policy.positions     keep
policy.unseen        drop
policy.profile       none
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; fast, cpu, synthetic weights: timing only)
e�^
[Request finished: 3 reply tokens, ended by the model; fast, cpu, synthetic weights: timing only]
$1 = {1.79609, 1.40517...} nats  (synthetic weights)
[1]

## with puts the setting back after a failure
$ kvdbg -batch --keep-going -ex 'with decode.tokens 7 -- nosuch' -ex 'show decode.tokens' synthetic:tiny
Undefined command: "nosuch".  Try "help".
decode.tokens        128
[1]

## with lacking its parts
$ kvdbg -batch --keep-going -ex with -ex 'with decode.tokens 7' -ex 'with decode.tokens -- show version' -ex 'with nosuch 3 -- print 1' synthetic:tiny
Missing arguments.
No previous command to relaunch
Argument required (value of decode.tokens: a whole number of tokens in 1..1048576).
Undefined set command: "nosuch".  Try "help set".
[1]

## with runs the last command again
$ printf 'print 1\nwith print elements 3\n' | kvdbg -q synthetic:tiny
$1 = 1
$2 = 1

## log
$ cd $T && kvdbg -batch --keep-going -ex 'show logging' -ex 'set logging file a.log' -ex 'set logging enabled on' -ex 'print 1' -ex nosuch -ex 'set logging file b.log' -ex 'set logging enabled on' -ex 'set logging enabled off' -ex 'print 2' -ex 'set logging redirect on' -ex 'set logging enabled' -ex 'print 3' -ex 'set logging enabled off' -ex 'set logging overwrite on' -ex 'show logging' synthetic:tiny; cat a.log
logging enabled:  off: Logging is disabled.
logging file:  The current logfile is "kvdbg.txt".
logging overwrite:  off: Logging appends to the log file.
logging redirect:  off: Output will go to both the screen and the log file.
Copying output to a.log.
$1 = 1
Undefined command: "nosuch".  Try "help".
Already logging to a.log.
Already logging to a.log.
Done logging to a.log.
$2 = 2
Redirecting output to a.log.
Done logging to a.log.
logging enabled:  off: Logging is disabled.
logging file:  The current logfile is "a.log".
logging overwrite:  on: Logging overwrites the log file.
logging redirect:  on: Output will go only to the log file.
$1 = 1
Undefined command: "nosuch".  Try "help".
Already logging to a.log.
Already logging to a.log.
$3 = 3

## a log that cannot be written
$ kvdbg -batch -ex 'set logging file /nonexistent/a.log' -ex 'set logging enabled on' synthetic:tiny
/nonexistent/a.log: No such file or directory.
[1]

## logging ends with kvdbg
$ cd $T && kvdbg -batch -ex 'set logging file a.log' -ex 'set logging enabled on' -ex 'pipe print 1 | cat' -ex 'print 2' synthetic:tiny; cat a.log
Copying output to a.log.
$1 = 1
$2 = 2
$2 = 2

