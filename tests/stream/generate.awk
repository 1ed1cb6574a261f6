# Random command lines: from a grammar of everything a user can say, and from the dialogues' scripts with mutations.
# usage: awk -v seed=S -v lines=N -f generate.awk [SCRIPT.kv...]
#
# What would leave the folder, end the run or rightly never end is left out: the shell, pipes, quit, and loops that the
# grammar did not make.

# One of the words; a blank behind a backslash does not end one.
function pick(list,    words, n, word) {
    gsub(/\\ /, "\001", list)
    n = split(list, words, " ")
    word = words[1 + int(rand() * n)]
    gsub(/\001/, " ", word)
    return word
}
function maybe(text) { return rand() < 0.5 ? text : "" }
function number() { return pick("0 1 2 3 -1 4 7 12 99 1000 4294967296 -5 last 0x10 1e9 nan $i") }
function position() { return pick("0 1 5 @3 @12 -1 2..6 9..3 \"the\" \"fox\" \"x\" @99999 0..last") }
function layer() { return pick("0 1 2 3 -1 99 L1") }
function unit_() { return pick("\" \"\"\" ' \\ \t # é 日 \001") }
function name() {
    return pick("entropy E score rank reason kept weight budget.req budget.app budget.used budget.total tok question reply " \
        "logit prob attn kl full other margin pos k v hidden entropy_q columns mem.kv.active time.prefill policy.ratio " \
        "decode.tokens $layer $tick $nope $1 $ $$2 $_ $__ nonsense run(1).E")
}
function index_() { return pick("[0] [1] [-1] [*] [] [last] [0..2] [2..0] [99] [\"fox\"] [E[0]] [1][2] [*][*] [0][0][1] [0][1][5][3]") }
function expr(depth,    r) {
    r = rand()
    if (depth > 3 || r < 0.25) return number()
    if (r < 0.6) return name() maybe(index_())
    if (r < 0.75) return pick("sum mean min max std argmax count any all len abs sqrt log exp norm topk rank dot cos kl js overlap text id kept $_isvoid nosuch") "(" expr(depth + 1) maybe(", " expr(depth + 1)) ")"
    if (r < 0.9) return expr(depth + 1) " " pick("+ - * / % == != < <= > >= && || @ & | ^ << >>") " " expr(depth + 1)
    if (r < 0.95) return "(" expr(depth + 1) " ? " expr(depth + 1) " : " expr(depth + 1) ")"
    return pick("- ! ~ (") expr(depth + 1) maybe(")")
}
function assignment() {
    return pick("$i $j $k $x policy.ratio decode.tokens $1 $layer 3") " " pick("= += -= *= /= %= <<= >>= |= &= ^=") " " expr(2)
}
function location() {
    return pick("compress decode prefill ask done L1 L2.attend .select .observe decode:2 decode:1:L1.ffn prefill:0 compress:0 " \
        "*10 *40 *9999 @5 \"fox\" nowhere L99 .nostage decode: : *x compress:0:L1.gather .sample")
}
function key() {
    return pick("5 @3 \"fox\" \"x\" 3..9 attn[0][1][*][4] attn[*][*][*][\"fox\"] attn[][][*][] kv[1][0..2][5] kv[0] attn[9][0][*][0] E[0] " position())
}
function setting() {
    return pick("policy.ratio policy.preset policy.selector policy.allocator policy.sinks policy.recent policy.window policy.rows " \
        "policy.tokens policy.bytes policy.floor policy.cap policy.pool policy.reduce decode.tokens decode.temperature " \
        "decode.seed engine.segment engine.snapshot engine.stats engine.kv judge.leader judge.tokens policy.nope")
}
function value() { return pick("0.5 0.25 1 0 -1 4 16 3 8 seed uniform window sum last on off all f32 f16 pyramid snapkv full self nan 1e99 x") }
function what() { return pick("entropy score kept budget attn attn\\ layer\\ 1\\ head\\ 0 nothing") }

function command(    r) {
    r = int(rand() * 65)
    if (r < 4) return pick("run start starti run start kill detach set\\ kv\\ read-floor\\ 0.5")
    if (r < 12) return pick("step next stepi nexti s n si ni continue c finish until u fin") " " maybe(pick("1 2 3 5 0 -1 x"))
    if (r < 16) return pick("reverse-step reverse-next reverse-stepi reverse-continue reverse-finish rs rn rc rsi back forward when") " " maybe(pick("1 2"))
    if (r == 16) return "record " pick("goto goto goto goto stop full delete nothing") " " pick("start end 0 5 30 77 9999 x $tick\\ -\\ 3 e")
    if (r == 17) return pick("checkpoint checkpoint\\ a restart\\ 1 restart\\ 2 restart\\ a info\\ checkpoints delete\\ checkpoint\\ 1 info\\ record " \
        "set\\ exec-direction\\ reverse set\\ exec-direction\\ forward set\\ record\\ max-bytes\\ 2K set\\ record\\ max-bytes\\ unlimited maint\\ hash reverse-nexti\\ 4 show\\ record\\ max-bytes back\\ 3 forward\\ 2")
    if (r < 21) return pick("break tbreak advance until clear jump") " " location() " " maybe("if " expr(0))
    if (r == 21) return rand() < 0.6 ? "watch " maybe("-l ") expr(1) " " maybe("if " expr(1)) : pick("rwatch awatch") " " key() " " maybe("> " pick("0 0.3 0.9 2 x")) " " maybe("if " expr(1))
    if (r == 22) return rand() < 0.2 ? pick("handle info\\ signals") " " maybe(pick("NAN CLAMP EOS all nope")) " " maybe(pick("stop nostop print noprint x")) : pick("catch tcatch") " " pick("phase\\ decode evict evict-all evict\\ \"fox\" evict\\ " position() " read-miss nan empty sink-loss clamp collapse\\ 1.0 diverge\\ 0.1 eos oom repeat\\ 2 token\\ \"e\" compress nothing")
    if (r == 23) return pick("delete enable enable\\ once enable\\ delete enable\\ count\\ 2 disable ignore condition undisplay info\\ breakpoints") " " maybe(pick("1 2 3 1-3 99 $bpnum x")) " " maybe(expr(1))
    if (r == 24) return "rbreak " pick("at.* [ x .")
    if (r < 31) return pick("print p output whatis ptype call display assert x/4dw x/2s x/3i p/x p/d p/f p/c p/t p/z p/q") " " expr(0)
    if (r == 31) return "printf \"" pick("%d %s %5.2f%% %x %n %*d %") "\\n\"" maybe(", " expr(0)) maybe(", " expr(0))
    if (r < 38) return "info " pick("model engine program kv layers heads budget kept tokens mem reply breakpoints settings display frame locals args registers line threads record checkpoints edits watchpoints macros") " " maybe("layer " layer())
    if (r < 40) return pick("heat list why") " " pick(what() " " position()) " " maybe("layer " layer())
    if (r == 40) return pick("why\\ budget whynot why") " " maybe(position() " ") maybe("layer " layer()) maybe(" head " layer())
    if (r == 41) return "diff " maybe("steps " pick("1 3 x"))
    if (r < 46) return "set " setting() " " value() " " maybe(setting() " " value())
    if (r == 46) return "set policy " pick("seed uniform inverse full pyramid snapkv tova streaming h2o cake nosuch")
    if (r == 47) return "set budget " pick("L0 L1 L2 0 1 L9 auto") " " maybe(pick("10 20 36 +5 -5 auto 99999 x")) " " maybe(pick("L0 L2") " " pick("34 40 auto"))
    if (r == 48) return "kv " pick("pin evict unpin") " " maybe(position()) " " maybe("layer " pick("0 1 2 0..1 1..2 9 L1"))
    if (r == 49) return pick("policy\\ undo policy\\ redo policy show\\ policy show\\ policy\\ -diff info\\ edits show\\ convenience show\\ values show\\ user show\\ h")
    if (r < 53) return "recompress"
    if (r == 53) return "kv " maybe("layer " layer()) " " maybe("head " layer()) " " maybe("token " number())
    if (r == 54) return "set var $" pick("i j k") " = " expr(0)
    if (r == 54 && rand() < 0.5) return pick("print set\\ var call") " " assignment()
    if (r == 55 && rand() < 0.5) return pick("bt\\ 2 up\\ 9 down\\ 2 frame\\ layer thread\\ apply\\ all\\ -s\\ print\\ $head info\\ scope info\\ source info\\ frame " \
        "x/3i\\ @4 x/-2 x/4dw\\ tok[1] x/3gx\\ E set\\ kv\\ context\\ tokens,budget set\\ kv\\ context\\ off set\\ print\\ elements\\ 3 list\\ - list\\ 3,9 " \
        "list\\ ,x display/2i\\ @3 ptype\\ k whatis\\ attn[0][0][1..3] print\\ $x++ info\\ line disassemble\\ L1 print\\ -elements\\ 2\\ --\\ tok")
    if (r == 55) return pick("backtrace up down frame\\ 0 frame\\ 9 disassemble thread\\ 1 context")
    if (r == 56) return pick("help apropos complete") " " pick("run info b watch x nosuch set\\ policy policy i\\ ")
    if (r == 57) return "with " setting() " " value() " -- " command()
    if (r == 58) return "define m" int(rand() * 3) "\n" simple() "\n" maybe("print $arg0\n") "end"
    if (r == 59) return "m" int(rand() * 3) " " maybe(number())
    if (r == 60) return "if " expr(0) "\n" command() "\n" maybe("else\n" command() "\n") "end"
    if (r == 61) return "set $n = 0\nwhile $n < 3\n" command() "\nset $n = $n + 1\nend"
    if (r == 62) return rand() < 0.3 ? "delete" : "commands " maybe("1") "\n" maybe("silent\n") "print $tick\nend"
    if (r == 64) return core()
    return pick("question prompt") " " pick("-none -text\\ abc \"Why?\" -text /nonexistent")
}

# A core file of the request, at times one that is looked at before the request begins anew.
function core(    line) {
    line = "gcore -f c " maybe(pick("+scores +kv +columns +entropy_q +nothing")) maybe(" +attn 1.2") "\n" simple()
    if (rand() < 0.5) return line
    return line "\ncore-file c\n" simple() "\n" simple() "\n" simple() "\n" simple() "\ncore-file\nprompt fox.txt\n" pick("run start")
}

# A command of one line, for where blocks do not nest.
function simple(    line) {
    do line = command(); while (line ~ /\n/)
    return line
}

function mutate(line,    n, at) {
    for (n = int(rand() * 3); n >= 0; n--) {
        at = 1 + int(rand() * length(line))
        if (rand() < 0.4) line = substr(line, 1, at - 1) substr(line, at + 1)
        else if (rand() < 0.5) line = substr(line, 1, at) unit_() substr(line, at + 1)
        else line = substr(line, 1, at) substr(line, at - 2, 5) substr(line, at + 1)
    }
    return line
}
function forbidden(line) {
    # GDB's prefixes count: she, sh and ! are the shell; a mutated loop need not end.
    return line ~ /(^|[ \t\n+-])(!|sh|pip|q|e?xit|wh|loop|ma?k|file|so|export|gc|gen|cor|save|save-|log|alias|add-)/ || line ~ /[|!]/ || line ~ /logging/
}

BEGIN { srand(seed); made = 0 }
{ script[++known] = $0 }
END {
    print "set confirm off"
    while (made < lines) {
        line = known && rand() < 0.3 ? mutate(script[1 + int(rand() * known)]) : command()
        gsub(/\\ /, " ", line)
        if (known && line !~ /\n/ && forbidden(line) && line !~ /^(print|assert|break|tbreak|output)/) continue
        if (line ~ /^ *(def|doc|if|comm|python|end|else)/ && line !~ /\n/) continue
        print line
        made++
    }
}
