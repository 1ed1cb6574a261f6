# The JSON lines of the GPU benchmark and of its peers as one Markdown page, as tests/bench/results/ keeps it.
#     awk -v date=2026-11-26 -v commit=abc -f tests/cuda/table.awk gpu-*-bench.jsonl [gpu-*-peers.jsonl]

# The value of a key of this line, "" where there is none.
function get(key,    rest) {
    if (!match($0, "\"" key "\": ")) return ""
    rest = substr($0, RSTART + RLENGTH)
    if (substr(rest, 1, 1) == "\"") {
        rest = substr(rest, 2)
        return substr(rest, 1, index(rest, "\"") - 1)
    }
    match(rest, /^[^,}]*/)
    return substr(rest, 1, RLENGTH)
}

function short(x) { return x == "" ? "" : sprintf("%.4g", x) }
function range() { return get("min") + 0 == get("max") + 0 ? "" : " (" short(get("min")) "–" short(get("max")) ")" }
function met(passed) { gates++; if (passed == "true") return "yes"; missed++; return "**NO**" }
# An aim lies where the gate lies, further on; without one, more is better.
function reached(x, aim, sense) { return sense == "<=" ? x + 0 <= aim + 0 : x + 0 >= aim + 0 }

!/^{.*}$/ { next } # a line that a killed program left half
{
    if (get("device") != "") device = get("device")
}
/^{"row"/ {
    gate = get("gate"); sense = get("sense"); aim = get("aim")
    rows = rows "| " get("row") " | " short(get("median")) range() " " get("unit") " | " \
        (gate == "" ? "" : sense " " short(gate)) " | " (gate == "" ? "" : met(get("passed"))) " | " \
        (aim == "" ? "" : (sense == "" ? ">=" : sense) " " short(aim) (reached(get("median"), aim, sense) ? ", yes" : ", no")) \
        " | " short(get("floor")) " |\n"
}
/^{"saved"/ {
    at = get("saved") " | " get("batch") " × " get("context")
    if (!(at in seen)) { seen[at] = 1; order[++n] = at; whole[at] = sprintf("%.3f (%.3f)", get("whole_ms"), get("whole_floor_ms")) }
    mark = get("reached") == "true" ? " ✓" : get("reached") == "false" ? " ✗" : ""
    kept[at, get("keep")] = sprintf("%.3f (%.3f) %s, %.1f %% (%.1f %%)%s", get("saved_ms"), get("predicted_ms"), \
        met(get("passed")), get("share"), get("predicted_share"), mark)
    if (get("reached") != "") allowed++
    if (get("reached") == "true") got++
}
/^{"op"/ {
    if (!(get("of") in ops)) runs[++n_run] = get("of")
    ops[get("of")] = ops[get("of")] sprintf("%s%s %.0f (%.3g calls, %.0f %%)", ops[get("of")] == "" ? "" : ", ", get("op"), get("us"), get("calls"), get("share"))
}
/^{"peer"/ {
    gate = get("gate")
    peers = peers "| " get("peer") " | " get("against") " | " short(get("ours")) " " get("unit") " | " \
        short(get("theirs")) (get("theirs") == "" ? get("why") : " " get("unit")) " | " \
        (get("ratio") == "" ? "" : sprintf("%.2f (%.2f)", get("ratio"), get("worst"))) " | " \
        (gate == "" ? "" : ">= " short(gate)) " | " (gate == "" ? "" : met(get("passed"))) " |\n"
}
/^{"skipped"/ { others = others "- " get("skipped") ": left out, " get("why") "\n" }
/^{"failed"/ { others = others "- **" get("failed") "**: " get("why") "\n"; broken++ }

END {
    print "# kvdbg on a GPU: " (device == "" ? "no figures" : device) "\n"
    print "- " date ", commit " commit
    printf "- %d of %d gates met%s\n", gates - missed, gates, broken ? sprintf(", %d parts broken", broken) : ""
    if (device ~ /[Ee]mulated/) print "- shapes of a test on an emulated GPU: the figures mean nothing"
    if (rows != "") {
        print "\n| row | median (min–max) | gate | met | aim, reached | floor |\n|---|---|---|---|---|---|"
        printf "%s", rows
    }
    if (n) {
        print "\nMilliseconds that a decode step saves: measured (bytes ÷ the device's copy bandwidth), whether nine tenths of" \
            "\nthat are met, and the share of the step (that bytes allow). ✓ ✗: 46.6 % is allowed, and reached or not" \
            sprintf(" (%d of %d).\n", got, allowed)
        print "| model | batch × context | whole step (floor) | 10 % kept | 25 % kept | 50 % kept |\n|---|---|---|---|---|---|"
        for (i = 1; i <= n; i++)
            print "| " order[i] " | " whole[order[i]] " | " kept[order[i], 10] " | " kept[order[i], 25] " | " kept[order[i], 50] " |"
    }
    if (peers != "") {
        print "\nBy turns with other programs on the same GPU:\n"
        print "| peer | what | kvdbg | peer | ratio (worst) | gate | met |\n|---|---|---|---|---|---|---|"
        printf "%s", peers
    }
    if (n_run) print "\nMicroseconds by op, each launched alone:\n"
    for (i = 1; i <= n_run; i++) print "- " runs[i] ": " ops[runs[i]]
    if (others != "") printf "\n%s", others
}
