# Core files: what is written, what is refused, and that a core prints what the request printed.

## written, and what it holds
$ kvdbg -q -batch --precision f32 synthetic:tiny -p tests/dialogue/fox.txt -ex run -ex "gcore $T/x.core" | sed -E '1,3d; s/[0-9.,]+ (KiB|bytes)/# \1/g; s/sha256 [0-9a-f]{64}/sha256 #/'; ls -A $T
Writing # KiB: base # KiB
Saved corefile $T/x.core: # bytes, sha256 #  (synthetic weights)
x.core

## the sizes that it says first are those of the file
$ kvdbg -q -batch --precision f32 synthetic:tiny -p tests/dialogue/fox.txt -ex run -ex "gcore $T/x +scores +entropy_q +columns +kv +attn 0.0 2.3" | sed -n 's/^Writing //p' | sed -E 's/[0-9.]+ (KiB)/# \1/g'; [ $(stat -c %s $T/x) -gt 100000 ] && echo large
# KiB: base # KiB, +scores # KiB, +entropy_q # KiB, +columns # KiB, +kv # KiB, +attn # KiB
large

## its sha256 is sha256sum's
$ kvdbg -q -batch synthetic:tiny --text hello -ex run -ex "gcore $T/x" | sed -n 's/.*sha256 \([0-9a-f]*\).*/\1  -/p' >$T/said; sha256sum <$T/x | diff - $T/said && echo same
same

## named by its tick unless told otherwise
$ cd $T; kvdbg -q -batch synthetic:tiny --text hello -ex start -ex 'stepi 5' -ex gcore >/dev/null; kvdbg -q -batch synthetic:tiny --text hello -ex run -ex 'generate-core-file' >/dev/null; ls -A
core.3463
core.5

## while the prefill is under way
$ . tests/dialogue/core-same.sh; parts=+kv; same -ex 'set engine.segment 40' -ex start -ex 'stepi 40'
the same

## before compress
$ . tests/dialogue/core-same.sh; parts="+entropy_q +columns +kv +attn 1.2"; same -ex 'break compress' -ex run
the same

## between the layers of compress
$ . tests/dialogue/core-same.sh; parts="+entropy_q +columns +kv +attn 1.2"; same -ex 'break compress:0:L1.gather' -ex run
the same

## before the question is read
$ . tests/dialogue/core-same.sh; same -ex 'question What jumps?' -ex 'break ask' -ex run
the same

## in the middle of a decode pass, after a comparison
$ . tests/dialogue/core-same.sh; same -ex 'break decode:1:L1.attend' -ex run -ex 'diff steps 4'
the same

## done
$ . tests/dialogue/core-same.sh; same -ex run -ex 'diff steps 3'
the same

## done, with a question
$ . tests/dialogue/core-same.sh; same -ex 'question What jumps?' -ex run
the same

## with a window in some layers, and entropy by the keys that are visible
$ . tests/dialogue/core-same.sh; model=synthetic:tiny-sliding; same -ex 'set policy.entropy log-length policy.selector mean' -ex run
the same

## compacted in place
$ . tests/dialogue/core-same.sh; parts="+scores +entropy_q +columns +kv"; sed -i '/attn.1..2..-1/d' $T/look; same -ex 'set engine.snapshot off' -ex run
the same

## all kept
$ . tests/dialogue/core-same.sh; same -ex 'set policy.ratio 1' -ex run
the same

## drawn with a temperature, after a policy change and recompress
$ . tests/dialogue/core-same.sh; same -ex 'set decode.temperature 1 decode.seed 7' -ex 'break decode' -ex run -ex 'set policy uniform policy.ratio 0.6' -ex recompress -ex 'next 2'
the same

## with edits: tokens pinned and evicted, a fixed budget, two statistics in a score
$ . tests/dialogue/core-same.sh; printf 'why 40 layer 1 head 2\nwhy 40 head 1\nwhy budget 1\n' >>$T/look; same -ex 'set policy.selector mix policy.ratio 0.6' -ex 'kv pin "fox" layer 1' -ex 'kv evict 30..33' -ex 'set budget L2 50' -ex 'break decode:1:L1.attend' -ex run -ex 'set policy.ratio 0.7'
the same

## the last row's attention as a score
$ . tests/dialogue/core-same.sh; echo 'why 40 layer 1 head 2' >>$T/look; same -ex 'set policy.selector last' -ex run -ex 'policy undo'
the same

## bf16 precision and cache, where one row alone is not computed as in a map
$ . tests/dialogue/core-same.sh; sed -i '/print attn/d' $T/look; same -ex 'set engine.precision fast engine.kv bf16' -ex run
the same

## without a vocabulary's help: a prompt that is no UTF-8
$ printf 'a\377b\303' >$T/p; kvdbg -q -batch synthetic:tiny --chat off -p $T/p -ex run -ex "gcore $T/x" >/dev/null; kvdbg -q -batch -c $T/x -ex 'info tokens' | tail -n +4
position      id kept in layers  text
       0      97     3 of 3      "a"
       1     255     3 of 3      "\xff"
       2      98     3 of 3      "b"
       3     195     3 of 3      "\xc3"

## a name that is no UTF-8
$ printf 'hello' >"$T/$(printf 'a\377b')"; kvdbg -q -batch synthetic:tiny -p "$T/$(printf 'a\377b')" -ex start -ex "gcore $T/x" >/dev/null; kvdbg -q -batch -c $T/x -ex prompt | tail -1
Prompt: $T/a�b, 5 bytes, 18 tokens (chat template)

## diff shows the comparison that was made, and no more
$ kvdbg -q -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'diff steps 6' -ex "gcore $T/x" >$T/live; kvdbg -q -batch -c $T/x -ex diff -ex 'diff steps 2' -ex 'print $_kl' >$T/core
> sed -n '/^Full cache/,/^First/p' $T/live >$T/a; sed -n '4,/^First/p' $T/core | diff $T/a - && echo same; sed -n '1,/^First/d; p' $T/core
same
Full cache against this run, both fed the tokens of the full cache (f32, cpu, synthetic weights: timing only)
 step  full cache             this run                KL, nats
    0  "e"                    "e"                               from the prefill: not counted
    1  "\xa5"                 "\x9e"                  3.44e+00  <
full:      e�
this run:  e�
KL(full || this run): mean 3.436, max 3.436 nats a token over 1 steps; top-1 agreement 0.0 %
First divergent token: step 1, "\xa5" became "\x9e".  (synthetic weights)
$1 = 3.43639 nats

## diff without a comparison
$ kvdbg -q -batch synthetic:tiny -p tests/dialogue/fox.txt -ex run -ex "gcore $T/x" >/dev/null; kvdbg -q -batch -c $T/x -ex diff
Core was generated by kvdbg 0.1: synthetic:tiny, tests/dialogue/fox.txt, 93 tokens; policy seed, ratio 0.25.
done, tick 115
115	done
No comparison is in this core file; diff before gcore would have put it there.
[1]

## pictures and tables have the same bytes
$ for w in live core; do mkdir $T/$w; done; export='-ex "export png $T/$w/e.png entropy" -ex "export png $T/$w/k.png kept" -ex "export png $T/$w/s.png score -log" -ex "export png $T/$w/b.png budget" -ex "export png $T/$w/a.png attn layer 2 head 1" -ex "export npy $T/$w/q.npy entropy_q" -ex "export npy $T/$w/a.npy attn layer 2 head 1" -ex "export csv $T/$w/t.csv budget" -ex "export csv $T/$w/r.csv reply"'
> w=live; eval "kvdbg -q -batch synthetic:tiny --precision f32 -p tests/dialogue/fox.txt -ex run -ex 'gcore $T/x +scores +entropy_q +attn 2.1' $export" >$T/live.out; w=core; eval "kvdbg -q -batch -c $T/x $export" >$T/core.out; diff -r $T/live $T/core && ls $T/core
a.npy
a.png
b.png
e.png
k.png
q.npy
r.csv
s.png
t.csv

## what would run says one sentence
$ kvdbg -q -batch synthetic:tiny --text hello -ex run -ex "gcore $T/x" >/dev/null
> for c in run start step 'stepi 3' next continue finish recompress rs rn rsi rc 'record goto 0' checkpoint back 'set policy.ratio 0.5' 'prompt -text abc' 'question why' gcore; do kvdbg -q -batch -c $T/x -ex "$c" 2>&1 >/dev/null; done | sort | uniq -c
     19 A core file cannot run; open its model with "file MODEL".

## what it does not hold
$ kvdbg -q -batch synthetic:tiny -p tests/dialogue/fox.txt -ex run -ex "gcore $T/x" >/dev/null
> for c in 'print score' 'print rank[0]' 'why 3' 'print entropy_q' 'print columns' 'heat attn layer 2 head 3' 'print kl' 'heat score'; do kvdbg -q -batch -c $T/x -ex "$c" 2>&1 >/dev/null; done
score is not in this core file; gcore +scores writes it.
rank is not in this core file; gcore +scores writes it.
score is not in this core file; gcore +scores writes it.
entropy_q is not in this core file; gcore +entropy_q writes it.
columns is not in this core file; gcore +columns writes it.
attn of layer 2 head 3 is not in this core file; gcore +attn 2.3 writes it.
kl is not available before the runs are compared: use diff (now in done:0).
score is not in this core file; gcore +scores writes it.
[1]

## back to the model
$ kvdbg -q -batch synthetic:tiny --text hello -ex run -ex "gcore $T/x" >/dev/null; kvdbg -q -batch -c $T/x -ex core-file -ex 'prompt -text hello' -ex start -ex 'info program'
Core was generated by kvdbg 0.1: synthetic:tiny, (text), 18 tokens; policy seed, ratio 0.25.
done, tick 3463
3463	done
No core file now.
Prompt: (text), 5 bytes, 18 tokens (chat template)
Starting request: (text), 18 tokens (chat; fast, cpu, synthetic weights: timing only)

prefill:0 embed, tick 0
0	embed  rows 0-17 of 18  (synthetic weights)
	Request 1 ((text); fast, cpu, synthetic weights: timing only).
It stands at prefill:0 embed, tick 0, branch 0; next: embed  rows 0-17 of 18  (synthetic weights)
It stopped by: start.

## another model, and a core in its place
$ kvdbg -q -batch synthetic:tiny --text hello -ex run -ex "gcore $T/x" >/dev/null; kvdbg -q -batch -c $T/x -ex 'file synthetic:tiny' -ex "core-file $T/x" -ex 'print $phase'
Core was generated by kvdbg 0.1: synthetic:tiny, (text), 18 tokens; policy seed, ratio 0.25.
done, tick 3463
3463	done
Model: synthetic:tiny; settings are at their defaults, and it has no prompt yet.
Core was generated by kvdbg 0.1: synthetic:tiny, (text), 18 tokens; policy seed, ratio 0.25.
done, tick 3463
3463	done
$1 = "done"

## core-file without a core
$ kvdbg -q -batch synthetic:tiny -ex core-file
Argument required (core file).
[1]

## a core that is not there
$ kvdbg -q -batch -c $T/none
$T/none: No such file or directory.
[2]

## a core that is a folder, a device, empty, text
$ : >$T/e; for f in $T /dev/zero $T/e tests/dialogue/fox.txt; do kvdbg -q -batch -c $f; echo $?; done
$T: Is a directory.
2
/dev/zero is no core file: it is not a regular file.
2
$T/e is no core file: 0 bytes are too few for a safetensors header.
2
tests/dialogue/fox.txt is no core file: it is something else, or cut off (its header would take 7163385811044755540 of the file's 122 bytes).
2

## a core that is cut off, or has more behind it
$ kvdbg -q -batch synthetic:tiny --text hello -ex start -ex "gcore $T/x" >/dev/null; head -c -10 $T/x >$T/y; kvdbg -q -batch -c $T/y 2>&1 | sed 's/[0-9][0-9]* of .*/# of #/'; { cat $T/x; echo more; } >$T/y; kvdbg -q -batch -c $T/y
$T/y is no core file: it is cut off: tensor "piece.bytes" ends at byte # of #
$T/y is no core file: 5 bytes at its end belong to no tensor.
[2]

## a core of a later format
$ kvdbg -q -batch synthetic:tiny --text hello -ex start -ex "gcore $T/x" >/dev/null; sed -i 's/"format.version":"1"/"format.version":"7"/' $T/x; kvdbg -q -batch -c $T/x
$T/x has format version 7; this kvdbg reads 1.
[2]

## an unreadable core in a script is status 2
$ kvdbg -q -batch synthetic:tiny -ex "core-file $T/none"
$T/none: No such file or directory.
[2]

## a prompt for a core
$ kvdbg -q -batch -c $T/x --text hello
kvdbg: A core file has its own prompt: --prompt, --text, --prompt-ids and --question need a model to run.
[2]

## settings for a core
$ kvdbg -q -batch synthetic:tiny --text hello -ex start -ex "gcore $T/x" >/dev/null; kvdbg -q -batch -c $T/x --precision fast >/dev/null
A core file cannot run; open its model with "file MODEL".
[2]

## before anything runs
$ kvdbg -q -batch synthetic:tiny --text hello -ex gcore
The request is not being run.
[1]

## parts that are not there yet, or not at all
$ for p in +scores +entropy_q '+attn 0.0' '+attn 9.9' +attn +weights 'a b'; do kvdbg -q -batch synthetic:tiny --text hello -ex start -ex "gcore $T/x $p" 2>&1 >/dev/null; done; ls -A $T
score is not available before compress has selected in every layer (now in prefill:0).
entropy_q is not available before the prefill is complete (now in prefill:0).
The prefill is not complete yet (now in prefill:0).
The prefill is not complete yet (now in prefill:0).
Argument required (LAYER.HEAD of +attn, as in +attn 3.1).
"+weights" is none of +scores, +entropy_q, +columns, +kv, +attn LAYER.HEAD.
gcore takes one FILE; quote a name with blanks.

## somebody else's file stays, by force it does not
$ echo mine >$T/x; kvdbg -q -batch synthetic:tiny --text hello -ex start -ex "gcore $T/x" >/dev/null; echo $?; cat $T/x; kvdbg -q -batch synthetic:tiny --text hello -ex start -ex "gcore -f $T/x" -ex 'stepi 3' -ex "gcore $T/x" >/dev/null; kvdbg -q -batch -c $T/x -ex 'print $tick' | tail -1
$T/x is there already and is not this session's work; -f overwrites it.
1
mine
$1 = 3

## a file that may not grow leaves nothing behind
$ (ulimit -f 4; kvdbg -q -batch synthetic:tiny --text hello -ex run -ex "gcore $T/x +kv +columns" >/dev/null); echo $?; ls -A $T
Cannot write $T/x: File too large.
1

## a folder that is not there, a device
$ for f in $T/a/b/x /dev/full /proc/x; do kvdbg -q -batch synthetic:tiny --text hello -ex start -ex "gcore $f" >/dev/null; done
Cannot write $T/a/b/x: No such file or directory.
Cannot write /dev/full: it is not a regular file.
Cannot write /proc/x: No such file or directory.
[1]

## completion
$ kvdbg -q -batch synthetic:tiny -ex 'complete core' -ex 'complete gen' -ex 'help gc' -ex 'help core'
core-file
generate-core-file
generate-core-file, gcore, gcor, gco, gc -- Write what the request knows to a core file, for a look without the model.
Usage: generate-core-file [-f] [FILE] [+PART]...
FILE is core.TICK unless named.  PART is scores, entropy_q, columns, kv, or attn LAYER.HEAD; without scores,
why has nothing to say.  The file is .safetensors: numpy reads it, and "kvdbg -c FILE" opens it.
It needs a started request.
core-file -- Look at a core file; without FILE, go back to the model.
Usage: core-file [FILE]
It is looked at with the same commands as a request; what would run answers with one sentence.

