# A random walk through time, as a script: every command is followed by where it led and the state's hash.
# usage: awk -v seed=S -v commands=N -f walk.awk

function below(n) { return int(rand() * n) }
function pick(list,    words, n) { n = split(list, words, " "); return words[1 + below(n)] }
function count() { return rand() < 0.5 ? "" : " " 1 + below(12) }

# There and back again; breakpoints rest so that no stop is on the way.
function there_and_back() {
    return "disable\nset $home = $tick\necho away\\n\nmaint hash\n" pick("stepi step next") " " 1 + below(40) "\n" \
        (rand() < 0.5 ? "record goto $home" : "reverse-stepi $tick - $home") "\necho home\\n\nmaint hash\nenable"
}

function command(    r) {
    r = below(100)
    if (r < 24) return pick("step next stepi s n si") count()
    if (r < 27) return "continue" count()
    if (r < 30) return "finish " pick("stage layer pass phase")
    if (r < 48) return pick("reverse-step reverse-next reverse-stepi reverse-nexti rs rn rsi") count()
    if (r < 52) return "reverse-continue" count()
    if (r < 54) return "reverse-finish " pick("stage layer pass phase")
    if (r < 60) return "record goto " (rand() < 0.8 ? below(250) : pick("start end begin"))
    if (r < 64) return "checkpoint"
    if (r < 69) return "restart " 1 + below(++restarts < 40 ? 6 : 20)
    if (r < 72) return "back" count()
    if (r < 75) return "forward" count()
    if (r < 78) return "recompress"
    if (r < 82) return "set policy " pick("seed uniform inverse streaming full seed-literal adakv snapkv")
    if (r < 84) return "set policy.ratio " pick("0.2 0.5 1")
    if (r < 86) return "set decode.seed " below(4)
    if (r == 86) return "set decode.tokens " 3 + below(9)
    if (r == 87) return "set record max-bytes " pick("20K 100K 1M unlimited")
    if (r < 91) return pick("break tbreak") " " pick("decode L1 .attend decode:1 compress L2.select *33 prefill:1:L1 L0")
    if (r == 91) return "break L" below(3) " if $tick % 3 == 0"
    if (r == 92) return "ignore " 1 + below(5) " " below(4)
    if (r == 93) return pick("delete disable enable") " " 1 + below(5)
    if (r == 94) return "set exec-direction reverse\nstep\nset exec-direction forward"
    if (r == 95) return "delete"
    if (r == 96) return "delete checkpoint " 1 + below(9)
    if (r == 97) return "echo begun\\n\nstart"
    return there_and_back()
}

BEGIN {
    srand(seed)
    print "set engine.segment " pick("512 32 16")
    print "set engine.snapshot " pick("on on off")
    print "set decode.tokens 9"
    print "set decode.temperature " pick("0 1 2")
    print "start\necho begun\\n"
    for (i = 0; i < commands; i++) print command() "\nwhen\nmaint hash"
}
