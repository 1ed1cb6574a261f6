Blocks of lines that cannot be read, or must not run.

## no end
$ printf 'echo a\\n\nif 1\necho b\\n\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
a
$T/a.kv:2: Error in sourced command file:
The file ends inside the block that `if' begins in line 2; `end' is missing.
[1]

## else without if
$ printf 'while 1\nelse\nend\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
$T/a.kv:1: Error in sourced command file:
`else' in line 2 belongs to no `if'.
[1]

## second else
$ printf 'if 1\nelse\nelse\nend\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
$T/a.kv:1: Error in sourced command file:
`else' in line 3 belongs to no `if'.
[1]

## nested too deeply
$ for i in 1 2 3 4 5 6 7 8; do printf 'if 1\nif 1\nif 1\nif 1\nif 1\nif 1\nif 1\nif 1\nif 1\n'; done >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
$T/a.kv:1: Error in sourced command file:
Blocks are nested more than 64 deep in line 65.
[1]

## end, else and loop_break alone
$ kvdbg -batch --keep-going -ex end -ex else -ex loop_break -ex loop_continue synthetic:tiny
This command cannot be used at the top level.
Undefined command: "else".  Try "help".
Undefined command: "loop_break".  Try "help".
Undefined command: "loop_continue".  Try "help".
[1]

## no lines behind -ex
$ kvdbg -batch -ex 'if 1' synthetic:tiny
`if' needs the lines that follow it: put them into a file (-x) or type them at the prompt.
[1]

## error inside a block names the line
$ printf 'set $i = 0\nwhile $i < 3\n  set $i = $i + 1\n  if $i == 2\n    print nosuch\n  end\nend\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
$T/a.kv:5: Error in sourced command file:
No value "nosuch" here.
[1]

## error inside a command names the call
$ printf 'define bad\nprint nosuch\nend\n\nbad\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
$T/a.kv:5: Error in sourced command file:
No value "nosuch" here.
[1]

## missing argument
$ printf 'define one\necho $arg1\nend\none x\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
$T/a.kv:4: Error in sourced command file:
Missing argument 1 in user function.
[1]

## endless recursion
$ printf 'define rec\nrec\nend\nrec\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
$T/a.kv:4: Error in sourced command file:
Max user call depth exceeded -- command aborted.
[1]

## a smaller limit
$ printf 'define rec\necho .\nrec\nend\nset max-user-call-depth 5\nshow max-user-call-depth\nrec\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
The max call depth for user-defined commands is 5.
.....$T/a.kv:7: Error in sourced command file:
Max user call depth exceeded -- command aborted.
[1]

## names that cannot be
$ printf 'define 1+2\nend\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
$T/a.kv:1: Error in sourced command file:
Junk in argument list: "1+2"
[1]

## define without a name
$ printf 'define\nend\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
$T/a.kv:1: Error in sourced command file:
Argument required (name of command to define).
[1]

## group that is not there
$ printf 'define nosuch foo\nend\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
$T/a.kv:1: Error in sourced command file:
Undefined command: "nosuch".  Try "help".
[1]

## group that is none
$ printf 'define print foo\nend\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
$T/a.kv:1: Error in sourced command file:
"print" is not a prefix command.
[1]

## document of a built-in
$ printf 'document print\nend\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
$T/a.kv:1: Error in sourced command file:
Command "print" is built-in.
[1]

## document of nothing
$ printf 'document nope\nend\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
$T/a.kv:1: Error in sourced command file:
Undefined command: "nope".
[1]

## show user of a built-in
$ kvdbg -batch -ex 'show user print' synthetic:tiny
Not a user command.
[1]

## alias of nothing
$ kvdbg -batch -ex 'alias zz = nope' synthetic:tiny
Undefined command: "nope".  Try "help".
[1]

## alias that is a command
$ kvdbg -batch -ex 'alias print = list' synthetic:tiny
Alias print is the name of an existing command
[1]

## alias without its parts
$ kvdbg -batch --keep-going -ex 'alias' -ex 'alias zz' -ex 'alias zz =' -ex 'alias -z a = list' synthetic:tiny
Usage: alias [-a] [--] ALIAS = COMMAND [DEFAULT-ARGS...]
Usage: alias [-a] [--] ALIAS = COMMAND [DEFAULT-ARGS...]
Usage: alias [-a] [--] ALIAS = COMMAND [DEFAULT-ARGS...]
Unrecognized option at: -z a = list
[1]

## a condition that is text
$ printf 'if "text"\nend\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
$T/a.kv:1: Error in sourced command file:
A condition must be a number, not a text.
[1]

## quit inside a loop
$ printf 'while 1\necho once\\n\nquit 7\nend\n' >$T/a.kv; kvdbg -batch -x $T/a.kv synthetic:tiny
once
[7]

## blocks on a pipe
$ printf 'if 0\necho no\\n\nelse\necho yes\\n\nend\ndefine a\necho a\\n\nend\na\n' | kvdbg -q synthetic:tiny
yes
a

