# Random breakpoints, met once on the way forward and once on the way back, as a script.
# usage: awk -v seed=S -f mirror.awk

function below(n) { return int(rand() * n) }
function pick(list,    words, n) { n = split(list, words, "|"); return words[1 + below(n)] }

BEGIN {
    srand(seed)
    print "set engine.segment " pick("512|32|16") "\nset decode.tokens 9\nset decode.temperature 1\nstart"
    for (i = 1 + below(4); i; i--)
        print "break " pick("decode|L1|.attend|decode:1|compress|L2.select|*33|prefill:1:L1|.sample|decode:2:L0.ffn|.gather") \
            pick("|| if $tick % 3 == 0| if $pass != 1| if E[1] > 1.5| if $layer == 1| if prob[0] > 0.001")
    print "info breakpoints\necho forth\\n"
    for (i = 0; i < 120; i++) print "kv layer 0\ncontinue\nwhen"
    print "echo back\\n"
    for (i = 0; i < 120; i++) print "kv layer 0\nrc\nwhen"
}
