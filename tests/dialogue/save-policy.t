## A policy and its edits are saved as commands that make them again
$ kvdbg -q -nx -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt synthetic:tiny -ex 'set policy uniform policy.tokens 50 policy.selector mix' -ex 'kv pin "fox" layer 1..2' -ex 'kv evict 20..21' -ex 'kv pin 40 layer 0' -ex 'set budget L0 60 L2 40' -ex "save policy $T/p.kv" -ex run -ex 'print budget.app' -ex 'maint hash' && cat $T/p.kv && kvdbg -q -nx -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt synthetic:tiny -x $T/p.kv -ex run -ex 'print budget.app' -ex 'maint hash'
Pinned 3 tokens in layers 1 to 2.
Evicted 2 tokens in all 3 layers.
Pinned 1 token in layer 0.
The budget of layer 0 is fixed at 60 tokens.
The budget of layer 2 is fixed at 40 tokens.
Saved to file '$T/p.kv'.
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
e�|corr��# and�our�,���� toĢe*oue?�st:� magic#^��M�es�s�( for8g���>��cϞM�� ե n�andis�,���haing(� s and and8 of���:��
[Request finished: 88 reply tokens, ended by the model; f32, cpu, edited, synthetic weights: timing only]
$1 = {60, 50, 40} tokens  (synthetic weights)
(hash 1)
# kvdbg policy uniform (edited)
set policy.preset uniform
set policy.selector mix
set policy.tokens 50
# Edits hold for the prompt tests/dialogue/fox.txt alone.
kv pin 17..19 layer 1..2
kv pin 40 layer 0
kv evict 20..21
set budget L0 60 L2 40
Pinned 3 tokens in layers 1 to 2.
Pinned 1 token in layer 0.
Evicted 2 tokens in all 3 layers.
The budget of layer 0 is fixed at 60 tokens.
The budget of layer 2 is fixed at 40 tokens.
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
e�|corr��# and�our�,���� toĢe*oue?�st:� magic#^��M�es�s�( for8g���>��cϞM�� ե n�andis�,���haing(� s and and8 of���:��
[Request finished: 88 reply tokens, ended by the model; f32, cpu, edited, synthetic weights: timing only]
$1 = {60, 50, 40} tokens  (synthetic weights)
(hash 1)

## A policy without edits
$ kvdbg -q -nx -batch synthetic:tiny -ex 'set policy.ratio 0.1' -ex "save policy $T/p.kv" && cat $T/p.kv
Saved to file '$T/p.kv'.
# kvdbg policy seed
set policy.preset seed
set policy.ratio 0.1

## Somebody else's file is left alone, unless it would be the same or -f is given
$ echo mine >$T/p.kv; kvdbg -q -nx -batch synthetic:tiny -ex "save policy $T/p.kv"; cat $T/p.kv; kvdbg -q -nx -batch synthetic:tiny -ex "save policy -f $T/p.kv" && kvdbg -q -nx -batch synthetic:tiny -ex "save policy $T/p.kv" && cat $T/p.kv; ls $T
$T/p.kv is there already and is not this session's or this recipe's work; -f overwrites it.
mine
Saved to file '$T/p.kv'.
Saved to file '$T/p.kv'.
# kvdbg policy seed
set policy.preset seed
p.kv

## What cannot be written
$ kvdbg -q -nx -batch --keep-going synthetic:tiny -ex 'save policy' -ex 'save policy /nonexistent/folder/x' -ex 'save policy a b c' -ex 'save policy /' -ex save
Argument required ([-f] FILE).
Cannot write /nonexistent/folder/x: No such file or directory.
Argument required ([-f] FILE).
Cannot write /: it is not a regular file.
save -- Write breakpoints or the policy as a script.
Usage: save breakpoints|policy

List of save subcommands:

save breakpoints -- Write all breakpoints as a script that sets them again.
save policy -- Write the policy and its edits as a script that makes them again.
[1]

## A picture's recipe has the edits
$ kvdbg -q -nx -batch --precision f32 --threads 1 -p tests/dialogue/fox.txt synthetic:tiny -ex 'set decode.tokens 1' -ex 'kv pin 20' -ex 'kv evict 1 layer 0' -ex run -ex "export png $T/a.png kept" -ex "info png $T/a.png" | grep -e edits -e policy -e warning
  kvdbg:policy           {"preset":"seed","allocator":"entropy","selector":"sum","ratio":"0.25","tokens":"unset","bytes":"unset","sinks":"4","recent":"32","floor":"auto","cap":"auto","rows":"all","window":"32","entropy":"raw","power":"1","beta":"20","tau1":"1","tau2":"1","temperature":"1","mass":"0.9","boundary":"0.2","share":"0.3","gamma":"200","future":"512","epsilon":"0","pool":"auto","kernel":"5","reduce":"sum","group":"shared","alpha":"1","query-aware":"on","every":"0","positions":"keep","unseen":"drop","profile":"none"}
  kvdbg:edits            kv pin 20; kv evict 1 layer 0
  kvdbg:warning          synthetic weights: timing only

