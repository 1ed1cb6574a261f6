## Before the prefill there is nothing to fork from
$ kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex start -ex 'whatif policy.ratio=0.5'
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)

prefill:0 embed, tick 0
0	embed  rows 0-92 of 93  (synthetic weights)
whatif is not available before the prefill is done (now in prefill:0).
[1]

## What whatif takes
$ for what in '' 'policy.ratio' 'foo=3' 'policy.ratio=7' 'policy.ratio=0.5 -n 1' 'policy.ratio=0.5 -x' '-- step' 'policy.ratio=0.5 -- kv evict 9999'; do kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'break decode' -ex run -ex "whatif $what" 2>&1 | tail -1; done
Argument required (NAME=VALUE..., or -- and commands).
"policy.ratio" is not NAME=VALUE.
No setting "foo".
policy.ratio must be in (0, 1], got "7".
1 is out of range for a number of tokens (2 to 1048576).
whatif takes NAME=VALUE..., -n TOKENS, -keep, -time and -- COMMANDS, not -x.
whatif tries kv pin, evict and unpin, set, policy and recompress, not "step".
Token 9999 out of range; the prompt has 93 (0-92).

## Runs that there are not
$ for what in 'inferior 2' 'inferior 3' 'inferior x' 'remove-inferiors' 'remove-inferiors 1' 'remove-inferiors 2' 'clone-inferior 3'; do kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'break decode' -ex run -ex "$what" 2>&1 | tail -1; done
Run 2 is the twin on the full cache: it is compared with, not selected.
No run number 3.
"x" is not a run (a whole number).
Argument required (numbers of runs).
Run 1 is selected: select another one first.
Run 2 is the twin on the full cache: it takes nothing.
clone-inferior clones the selected run, and takes no argument.

## Without the resident prefill there is no fork
$ kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'set engine.snapshot off' -ex 'break decode' -ex run -ex 'whatif policy.ratio=0.5' 2>&1 | tail -1
The prefill's keys and values are not kept for another run: set engine.snapshot on, then run again.

