# Nothing is written and nothing is started with --readonly, by whatever name.

## export under --readonly
$ kvdbg -q -nx -batch --readonly --keep-going --precision f32 -p tests/dialogue/fox.txt -ex start -ex 'export csv '$T'/x.csv tok' -ex 'alias wr = export csv' -ex 'wr '$T'/x.csv tok' -ex 'set policy seed' synthetic:tiny; echo "status $?"; ls $T
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)

prefill:0 embed, tick 0
0	embed  rows 0-92 of 93  (synthetic weights)
export csv is not allowed with --readonly.
export csv is not allowed with --readonly.
status 1

## a picture drawn again goes nowhere else
$ kvdbg -q -nx -batch --precision f32 -p tests/dialogue/fox.txt -ex run -ex 'export png '$T'/x.png entropy' synthetic:tiny >/dev/null; kvdbg -q -nx -batch --readonly synthetic:tiny -ex 'source -png '$T'/x.png '$T'/y.png'; echo "status $?"; ls $T
source -png FILE TO is not allowed with --readonly.
status 1
x.png

