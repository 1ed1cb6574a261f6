# Nothing is written and nothing is started with --readonly, by whatever name.

## export under --readonly
$ kvdbg -q -nx -batch --readonly --keep-going --precision f32 -p tests/dialogue/fox.txt -ex start -ex 'export csv '$T'/x.csv tok' -ex 'alias wr = export csv' -ex 'wr '$T'/x.csv tok' -ex 'set policy seed' synthetic:tiny; echo "status $?"; ls $T
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)

prefill:0 embed, tick 0
0	embed  rows 0-92 of 93  (synthetic weights)
export csv is not allowed with --readonly.
export csv is not allowed with --readonly.
status 1

