# What is replayed keeps the policy that it ran with, whatever was set since; setting it in the past starts a branch.

## the policy of a replay, in the stop's line and in a picture's recipe
$ kvdbg -q -nx -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'set policy uniform' -ex 'record goto 10' -ex next -ex next -ex when -ex "export png $T/a.png kept" -ex "info png $T/a.png" synthetic:tiny 2>&1 | grep -e allocate -e Tick -e preset | sed 's/,"alloc.*//'
compress:0 allocate, tick 27
27	allocate  policy seed over 3 layers of 93 tokens  (synthetic weights)
Tick 34, decode:0 embed, branch 0
  kvdbg:policy           {"preset":"seed"

## set in the past
$ kvdbg -q -nx -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'record goto 10' -ex 'set policy uniform' -ex next -ex next -ex when -ex "export png $T/a.png kept" -ex "info png $T/a.png" synthetic:tiny 2>&1 | grep -e allocate -e Tick -e preset | sed 's/,"alloc.*//'
compress:0 allocate, tick 27
27	allocate  policy uniform over 3 layers of 93 tokens  (synthetic weights)
Tick 34, decode:0 embed, branch 1
  kvdbg:policy           {"preset":"uniform"

## a checkpoint brings it back with its cache
$ kvdbg -q -nx -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'checkpoint seed' -ex 'set policy uniform' -ex recompress -ex continue -ex 'restart seed' -ex "export png $T/a.png kept" -ex "info png $T/a.png" synthetic:tiny 2>&1 | grep -e allocate -e Switching -e preset | sed 's/,"alloc.*//'
compress:0 allocate, tick 27
27	allocate  policy uniform over 3 layers of 93 tokens  (synthetic weights)
Switching to checkpoint 1 seed
  kvdbg:policy           {"preset":"seed"

