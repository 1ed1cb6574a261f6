Files out: what is in them, and that they depend on nothing but the recipe.

## budgets as a table
$ kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt -ex 'set policy.ratio 0.5 decode.tokens 1' -ex run -ex "export csv $T/b.csv budget" >/dev/null; cut -d, -f1,4-7 $T/b.csv | sed 's/\.[0-9]*,/,/'
layer,requested_tokens,applied_tokens,used_tokens,bytes
0,50,50,50,12800
1,39,39,39,9984
2,50,51,51,13056

## an expression as a table, indices by the names of their axes
$ kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt -ex 'set decode.tokens 1' -ex run -ex "export csv $T/r.csv reason[1..2][2..5]" >/dev/null; cat $T/r.csv
layer,position,value,rule
1,2,1,sink
1,3,1,sink
1,4,0,evicted
1,5,0,evicted
2,2,1,sink
2,3,1,sink
2,4,0,evicted
2,5,0,evicted

## token texts are quoted as RFC 4180 says
$ kvdbg -q -batch synthetic:tiny --chat off --text 'a,"b
> c' -ex "export csv $T/t.csv tok" >/dev/null; cat $T/t.csv
position,value,text
0,97,a
1,44,","
2,34,""""
3,98,b
4,10,"
"
5,99,c

## an array for numpy
$ kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt -ex "export npy $T/t.npy tok[1..4]" | sed 's/sha256.*//'; head -c 70 $T/t.npy | tail -c 60; echo; tail -c 16 $T/t.npy | od -An -td4
$T/t.npy: int32 of (4), 144 bytes, 
{'descr': '<i4', 'fortran_order': False, 'shape': (4,), }   
         117         115         259          10

## a map of one head for numpy
$ kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt -ex 'set decode.tokens 3' -ex run -ex "export npy $T/a.npy attn layer 1 head 0 rows 90..last cols 0..9" | tail -1 | sed 's/sha256.*//'; head -c 70 $T/a.npy | tail -c 60; echo
$T/a.npy: float32 of (5, 10), 328 bytes, 
{'descr': '<f4', 'fortran_order': False, 'shape': (5, 10), }

## the recipe of a picture
$ kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt -ex 'set policy.ratio 0.5 decode.tokens 2' -ex run -ex 'set policy.ratio 0.1' -ex "export png $T/k.png kept" -ex "export png $T/a.png attn layer 2 head 1 -log" -ex "info png $T/k.png" -ex "info png $T/a.png" | grep -E 'command|sha256 |prompt-sha|policy|layer|head|scale|rows|cols|tick|warning' | grep -v 'PNG of'; sha256sum tests/dialogue/fox.txt | cut -d' ' -f1
  Title                  Tokens kept by layer
  kvdbg:command          export png FILE kept pool mean
  kvdbg:model-sha256     synthetic:tiny
  kvdbg:prompt-sha256    deb3e93f66483f7bffdec05895a69df88433e54e7defc656d6cf812cd40eece7
  kvdbg:policy           {"preset":"seed","allocator":"entropy","selector":"sum","ratio":"0.5","tokens":"unset","bytes":"unset","sinks":"4","recent":"32","floor":"auto","cap":"auto","rows":"all","window":"32","entropy":"raw","power":"1","beta":"20","tau1":"1","tau2":"1","temperature":"1","mass":"0.9","boundary":"0.2","share":"0.3","gamma":"200","future":"512","epsilon":"0","pool":"auto","kernel":"5","reduce":"sum","group":"shared","alpha":"1","query-aware":"on","every":"0","positions":"keep","unseen":"drop","profile":"none"}
  kvdbg:tick             61
  kvdbg:warning          synthetic weights: timing only
  kvdbg:rows             3
  kvdbg:cols             93
  Title                  Attention of layer 2, head 1
  kvdbg:command          export png FILE attn layer 2 head 1 rows 0..93 cols 0..93 -log pool mean
  kvdbg:layer            2
  kvdbg:head             1
  kvdbg:model-sha256     synthetic:tiny
  kvdbg:prompt-sha256    deb3e93f66483f7bffdec05895a69df88433e54e7defc656d6cf812cd40eece7
  kvdbg:policy           {"preset":"seed","allocator":"entropy","selector":"sum","ratio":"0.5","tokens":"unset","bytes":"unset","sinks":"4","recent":"32","floor":"auto","cap":"auto","rows":"all","window":"32","entropy":"raw","power":"1","beta":"20","tau1":"1","tau2":"1","temperature":"1","mass":"0.9","boundary":"0.2","share":"0.3","gamma":"200","future":"512","epsilon":"0","pool":"auto","kernel":"5","reduce":"sum","group":"shared","alpha":"1","query-aware":"on","every":"0","positions":"keep","unseen":"drop","profile":"none"}
  kvdbg:tick             61
  kvdbg:warning          synthetic weights: timing only
  kvdbg:rows             94
  kvdbg:cols             94
  kvdbg:scale            log10 scale, floor 4.9e-05
deb3e93f66483f7bffdec05895a69df88433e54e7defc656d6cf812cd40eece7

## the same picture under two names, from two runs
$ for i in 1 2; do kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt -ex run -ex "export png $T/$i.png attn layer 1 head 3 rows 10..40 pool max map viridis" -ex "export png $T/b$i.png budget" >/dev/null; done; cmp $T/1.png $T/2.png && cmp $T/b1.png $T/b2.png && echo same
same

## a picture of what is not there yet
$ kvdbg -q -batch synthetic:tiny --text hello -ex start -ex "export png $T/k.png kept"; s=$?; ls $T; exit $s
Starting request: (text), 18 tokens (chat; fast, cpu, synthetic weights: timing only)

prefill:0 embed, tick 0
0	embed  rows 0-17 of 18  (synthetic weights)
reason is not available before compress has selected in every layer (now in prefill:0).
[1]

## a picture drawn again by its recipe, from other settings and past a breakpoint
$ kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt -ex 'set policy.ratio 0.5 decode.tokens 2' -ex run -ex 'set policy uniform policy.ratio 0.3' -ex recompress -ex continue -ex "export png $T/k.png kept" >/dev/null; kvdbg -q -batch synthetic:tiny --precision fast -p tests/dialogue/fox.txt -ex 'break compress' -ex "source -png $T/k.png" -ex 'expect-stop goto' -ex 'print policy.preset' -ex "source -png $T/k.png $T/again.png" | sed 's/sha256.*/sha256/'; cmp $T/k.png $T/again.png && ls $T
Breakpoint 1 at compress
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
$T/k.png: the same bytes again, sha256
$1 = "uniform"
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
$T/k.png: the same bytes again, sha256
again.png
k.png

## values as they are: no colors, no pooling
$ kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt --keep-going -ex 'set decode.tokens 2' -ex run -ex "export png -raw16 $T/a.png entropy -log" -ex "export png -raw16 $T/a.png budget" -ex "export png -f -raw16 $T/a.png score" -ex "source -png" -ex "source -png $T/none.png" | sed 's/sha256.*/sha256/'
-raw16 writes the values as they are: no -log, -rank, -clip, pool, map or side.
Budgets are a table and no matrix: "export csv FILE budget".
Argument required (PNG file with a recipe, and where to draw it again).
Cannot read $T/none.png: No such file or directory.
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
e�
[Request finished: 2 reply tokens, cut by decode.tokens or by the context; f32, cpu, synthetic weights: timing only]
$T/a.png: 16-bit PNG of 93x3 with its recipe, 2,220 bytes, sha256

## pictures that cannot be
$ kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt --keep-going -ex 'set decode.tokens 3' -ex 'tbreak compress' -ex run -ex 'heat attn -vs full' -ex 'heat curve' -ex "export png $T/a.png kl" -ex 'continue' -ex 'heat attn heads' -ex 'heat attn heads -vs full' -ex 'heat attn -vs uniform' -ex 'heat attn -vs full -log' -ex 'heat kept -vs nosuch' -ex 'heat entropy head 1' -ex 'heat curve -rank' -ex 'heat attn head 4' -ex 'heat kept -vs' -ex 'heat kl' -ex "export png -raw16 $T/a.png attn heads" 2>&1 >/dev/null; ls $T
Nothing has been read over the compressed cache yet: -vs full compares rows of the question and the reply.
score is not available before compress has selected in every layer (now in compress:0).
kl is not available before the runs are compared: use diff (now in compress:0).
A terminal has room for one map; "export png" draws all of them.
heads and layers draw each head or layer alone: no -vs, no head mean.
attn is compared with "full", the full cache, not "uniform".
A difference is linear around zero, in colors of its own: no -log, -rank or map.
policy.preset must be one of seed, seed-literal, uniform, inverse, full, pyramid, cake, zigzag, squeeze, meda, lava, tova, h2o, streaming, snapkv, adakv, tuned, manual, got "nosuch".
entropy has no head to choose.
curve has no -rank to choose.
Head 4 out of range; model has 4 (0-3).
Argument required (value of -vs).
kl is not available before the runs are compared: use diff (now in done:0).
-raw16 writes one matrix; "export npy" writes all of the heads.

## all heads of a layer and a difference as arrays; names in an expression stay one
$ kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt -ex 'set decode.tokens 3' -ex run -ex "export npy $T/a.npy attn layer 1 heads rows 90..last" -ex "export npy $T/b.npy attn layer 1 head mean -vs full" -ex "export npy $T/c.npy entropy - 1" -ex "export npy $T/d.npy entropy_q head mean" -ex "export npy $T/e.npy curve layer 2" | tail -5 | sed 's/sha256.*//'
$T/a.npy: float32 of (4, 5, 95), 7,728 bytes, 
$T/b.npy: float32 of (2, 95), 888 bytes, 
$T/c.npy: float64 of (3, 4) in nats, 224 bytes, 
$T/d.npy: float32 of (3, 93), 1,244 bytes, 
$T/e.npy: float32 of (1, 57), 356 bytes, 

## a difference in the terminal
$ kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt -ex 'set policy.ratio 0.5 decode.tokens 6' -ex run -ex 'heat attn layer 1 head 0 cols 0..70 -vs full' -ex 'heat kept -vs uniform' | tail -n +4
Attention here less over the full cache, layer 1 head 0, rows 93 to 97 (f32, cpu, synthetic weights: timing only)
   0    5    10   15   20   25   30   35   40   45   50   55   60   65 
93    +                                  .                                
94    *                        -                       =                  
95                             -                           -      ++      
96                                                              -         
97                                                                        
-0.609 [=-. +*#] 0.609 probability
linear scale
Kept here less kept there (f32, cpu, synthetic weights: timing only)
   0    10   20   30   40   50   60   70   80   90
L0      * *  *                                    
L1   - -- --= -                                   
L2    *     ** *        *                         
-1 [=-. +*#] 1 share kept
linear scale, each cell the mean of 1x2

## edits are part of the recipe, and those of another run are not
$ kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt -ex 'set policy.ratio 0.5 decode.tokens 2' -ex 'tbreak compress' -ex run -ex 'kv pin 20..24 layer 1' -ex 'kv evict 2 layer 0' -ex 'set budget 2 60' -ex continue -ex "export png $T/k.png kept" -ex "info png $T/k.png" | grep edits; kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt -ex 'tbreak compress' -ex run -ex 'kv pin 50 layer 0' -ex "source -png $T/k.png" -ex 'info edits' | tail -n +8 | sed 's/sha256.*//'
  kvdbg:edits            kv pin 20..24 layer 1; kv evict 2 layer 0; set budget L2 60
Sum: 108 -> 109 tokens.
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
$T/k.png: the same bytes again, 
Num  Undone     Tick  Place                  Edit
1    n            27  compress:0 allocate    kv pin 50 layer 0
2    n            27  compress:0 allocate    kv pin 20..24 layer 1
3    n            27  compress:0 allocate    kv evict 2 layer 0
4    n            27  compress:0 allocate    set budget L2 60

## against the full cache, nothing is kept here only
$ kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt -ex 'set decode.tokens 3' -ex run -ex 'heat kept -vs full' | tail -n +4
Kept here less kept there (f32, cpu, synthetic weights: timing only)
   0    10   20   30   40   50   60   70   80   90
L0   ============================-                
L1   ============================-                
L2   ============================-                
-1 [=-. +*#] 1 share kept
linear scale, each cell the mean of 1x2

