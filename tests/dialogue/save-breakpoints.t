## Stops are saved as a script that sets them again
$ kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'break L1 head 2 if entropy[0][0] > 1' -ex 'tbreak "two words"' -ex 'watch -l E[$layer] if E[0] > 1' -ex 'catch evict "fox"' -ex 'tcatch eos' -ex 'ignore 1 3' -ex 'enable count 2 3' -ex 'enable once 4' -ex 'disable 5' -ex "save breakpoints $T/stops" -ex 'save breakpoints' ; cat "$T/stops"
Breakpoint 1 at L1 head 2
Temporary breakpoint 2 at "two words" (the prompt does not say it; waiting for the reply)
Hardware watchpoint 3: -location E[$layer]
Catchpoint 4 (evict, 3 tokens match: 17-19)
Catchpoint 5 (eos)
Will ignore next 3 crossings of breakpoint 1.
Saved to file '$T/stops'.
Argument required (file name in which to save).
break L1 head 2
  condition $bpnum entropy[0][0] > 1
  ignore $bpnum 3
tbreak "two words"
watch -location E[$layer]
  condition $bpnum E[0] > 1
  enable count 2 $bpnum
catch evict "fox"
  enable once $bpnum
tcatch eos
  disable $bpnum

## The saved script gives the same stops
$ kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'break L1 head 2 if entropy[0][0] > 1' -ex 'tbreak "two words"' -ex 'watch E[1] if E[0] > 1' -ex 'catch evict "fox"' -ex 'tcatch eos' -ex 'enable count 2 3' -ex 'disable 4' -ex "save breakpoints $T/stops" -ex "delete" -ex "source $T/stops" -ex 'info breakpoints'
Breakpoint 1 at L1 head 2
Temporary breakpoint 2 at "two words" (the prompt does not say it; waiting for the reply)
Hardware watchpoint 3: E[1]
Catchpoint 4 (evict, 3 tokens match: 17-19)
Catchpoint 5 (eos)
Saved to file '$T/stops'.
Breakpoint 6 at L1 head 2
Temporary breakpoint 7 at "two words" (the prompt does not say it; waiting for the reply)
Hardware watchpoint 8: E[1]
Catchpoint 9 (evict, 3 tokens match: 17-19)
Catchpoint 10 (eos)
Num     Type           Disp Enb What
6       breakpoint     keep y   L1 head 2
	stop only if entropy[0][0] > 1
7       breakpoint     del  y   "two words"
8       hw watchpoint  dis  y   E[1]
	stop only if E[0] > 1
	disable after next 2 hits
9       catchpoint     keep n   evict, 3 tokens match: 17-19
10      catchpoint     del  y   eos

## Nobody's file is written over, and nothing is written where there are no stops
$ echo mine >"$T/mine"; kvdbg -q -nx -batch --keep-going synthetic:tiny -ex "save breakpoints $T/none" -ex 'break L1' -ex "save breakpoints $T/mine" -ex "save breakpoints $T" -ex "save breakpoints -f $T/mine" -ex 'break L2' -ex "save breakpoints $T/mine"; ls "$T"; cat "$T/mine"
Nothing to save.
Breakpoint 1 at L1
$T/mine is there already and is not this session's or this recipe's work; -f overwrites it.
Cannot write $T: it is not a regular file.
Saved to file '$T/mine'.
Breakpoint 2 at L2
Saved to file '$T/mine'.
mine
break L1
break L2

## Watched keys come back, too
$ kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'rwatch "fox" > 0.2' -ex 'awatch attn[1][*][*][4..9]' -ex "save breakpoints $T/stops" -ex 'delete' -ex "source $T/stops" -ex 'info watchpoints'
Hardware read watchpoint 1: "fox" > 0.2
Hardware access (read/write) watchpoint 2: attn[1][*][*][4..9]
Saved to file '$T/stops'.
Hardware read watchpoint 3: "fox" > 0.2
Hardware access (read/write) watchpoint 4: attn[1][*][*][4..9]
Num     Type            Disp Enb What
3       read watchpoint keep y   "fox" > 0.2
4       acc watchpoint  keep y   attn[1][*][*][4..9]

