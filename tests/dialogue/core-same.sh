# same OPTION...: stops a request as the options say (-ex COMMAND), writes a core with the parts $parts, and shows it
# and the core the commands in $T/look: both must print the same, apart from the peak of the process and from what
# belongs to the session ($bpnum, stops visited); a core has no parts of scores.
same() {
    kvdbg -q -nx -batch --keep-going --precision f32 --threads 1 -p tests/dialogue/fox.txt "$@" \
        -ex "gcore -f $T/core $parts" -ex 'echo #look\n' -x "$T/look" "${model:-synthetic:tiny}" >"$T/live.out" 2>&1
    kvdbg -q -nx -batch --keep-going -c "$T/core" -ex 'echo #look\n' -x "$T/look" >"$T/core.out" 2>&1
    for f in "$T/live.out" "$T/core.out"; do sed -e '1,/^#look/d' -e '/^peak /d' -e '/^.bpnum/d' -e '/^Stops visited/d' -e '/^  made of/d' -e '/^  heads /d' "$f" >"$f.cut"; done
    if diff "$T/live.out.cut" "$T/core.out.cut" >"$T/same.diff" && [ "$(wc -l <"$T/live.out.cut")" -gt 300 ]; then echo "the same"; fi
    sed -e 's/^/: /' -e 40q "$T/same.diff"
}
parts="+scores +entropy_q +columns +kv +attn 1.2"
cat >"$T/look" <<'END'
set trace-commands on
info program
when
info record
info model
info engine
info kv
info layers
info heads layer 1
info budget
info kept
info tokens
info mem
info reply
info settings
show policy
show convenience
print entropy
print E
print entropy_q
print columns
print score
print rank
print reason
print kept
print weight
print budget.req
print budget.app
print budget.used
print budget.total
print tok
print question
print reply
print logit
print prob
print kl
print full
print other
print mem.weights
print mem.kv.active
print time.prefill
print policy.ratio
print $phase
print $_kl
print sum(kept["fox"])
print attn[1][2][5]
print attn[1][2][-1]
print attn[1][2][999]
print attn[3][2][0]
heat entropy
heat score
heat kept -rank
heat budget
heat attn layer 1 head 2 -log
list
list 20..60
why "fox"
why 5
why @40 layer 1
why 20..30 layer 2
why budget
why budget 1
show policy -diff
print cut
print margin
print budget.rule
kv
kv layer 1 head 2 token 3
print entropy[]
print k[1][0][5]
print v[2][1][-1][3]
print pos[1]
print cut
print margin[2]
print budget.rule
print budget.floor
backtrace
frame 2
info frame
up
info locals
info args
info registers
info line
info source
info threads
info scope
info signals
disassemble
whatis score
ptype reason
whatis k
x/4f E[0]
x/3i tok[5]
x/2s tok[5]
context
info edits
show policy -diff
why budget 1
print nonsense
prompt
question
END
