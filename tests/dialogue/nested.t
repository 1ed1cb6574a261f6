# Lines within lines end before the stack does.

## commands that run themselves through others
$ printf 'define f\nwith confirm off -- f\nend\nf\n' >$T/f; kvdbg -q -nx -batch synthetic:tiny -x $T/f
$T/f:4: Error in sourced command file:
Commands are nested too deeply -- command aborted.
[1]

## blocks within calls
$ { echo define f; yes 'if 1' | head -40; echo f; yes end | head -41; echo f; } >$T/f; kvdbg -q -nx -batch synthetic:tiny -x $T/f
$T/f:84: Error in sourced command file:
Commands are nested too deeply -- command aborted.
[1]
