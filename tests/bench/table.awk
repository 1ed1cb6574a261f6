# The bench's samples as Markdown. A line is ROW SIDE ROUND name=value...; see run.sh for the rows, bench.c for the
# values. Rates are tokens a second; a ratio is of medians, "worst" the smallest ratio of one round.

{
    row = $1; side = $2; round = $3
    if (row != "stages" && row != "limits") n[row, side]++
    for (i = 4; i <= NF; i++) {
        eq = index($i, "=")
        if (!eq) continue
        key = substr($i, 1, eq - 1)
        if (row == "stages") stage[$4, $5, $6, round, key] = substr($i, eq + 1)
        else value[row, side, round, key] = substr($i, eq + 1)
    }
    if (round > rounds[row]) rounds[row] = round
}

# Sets low, mid, high and count from list[1..count].
function order(    i, j, t) {
    for (i = 2; i <= count; i++)
        for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
    low = list[1]; high = list[count]
    mid = count % 2 ? list[(count + 1) / 2] : (list[count / 2] + list[count / 2 + 1]) / 2
}

function collect(row, side, key,    r) {
    count = 0
    for (r = 1; r <= rounds[row]; r++)
        if ((row, side, r, key) in value) list[++count] = value[row, side, r, key] + 0
    if (count) order()
    return count
}

function range(format) { return sprintf(format " (" format "–" format ")", mid, low, high) }

function verdict(met) { return met ? "yes" : "NO" }

# kvdbg beside the peer's row; floor is the most tokens a second that the machine's limits allow.
function rate(title, row, peer, target, floor,    mine, text, theirs, ratio, worst, r, q, met) {
    if (!collect(row, "kvdbg", "tps")) return
    mine = mid; text = range("%.1f") " t/s"
    theirs = "–"; ratio = "–"; met = "–"
    if (collect(peer, "peer", "tps")) {
        theirs = range("%.1f") " t/s"
        worst = 0
        for (r = 1; r <= rounds[row]; r++)
            if ((peer, "peer", r, "tps") in value) {
                q = value[row, "kvdbg", r, "tps"] / value[peer, "peer", r, "tps"]
                if (!worst || q < worst) worst = q
            }
        ratio = sprintf("%.2f (worst %.2f)", mine / mid, worst)
        met = verdict(worst >= target)
    }
    printf "| %s | %d | %s | %s | %s | %s | %s | %.0f t/s | %.0f %% |\n", title, rounds[row], text, theirs, ratio,
        target ? sprintf("≥ %.1f ×", target) : "–", target ? met : "–", floor, 100 * mine / floor
}

# A figure of kvdbg alone: list[1..count] holds it, met says whether median and worst sample clear the target.
function figure(title, format, unit, target, met, floor, share) {
    printf "| %s | %d | %s%s | – | – | %s | %s | %s | %s |\n", title, count, range(format), unit, target, met, floor,
        share
}

function stage_ms(phase, name, round) {
    return stage["mode=stages", "phase=" phase, "stage=" name, round, "us"] / 1000
}

function limit(key,    a, b) {
    a = value["limits", "before", 1, key]; b = value["limits", "after", 1, key]
    if (a && b && (b / a > 1.1 || a / b > 1.1))
        warning = warning sprintf("\n**Warning:** %s moved from %s to %s between the beginning and the end: these " \
            "figures are not to be trusted.\n", key, a, b)
    return (a + b) / 2
}

function both(key) { return value["limits", "before", 1, key] " | " value["limits", "after", 1, key] }

function short(x) { return sprintf(x < 100 ? "%.3f" : "%.1f", x) }

function stages(phase, unit,    order_of, names, i, r, total, us, text) {
    names = split("embed norm qkv rope append attend observe oproj ffn head sample allocate select gather", order_of)
    total = 0
    for (i = 1; i <= names; i++) {
        count = 0
        for (r = 1; r <= rounds["stages"]; r++)
            if (("mode=stages", "phase=" phase, "stage=" order_of[i], r, "us") in stage)
                list[++count] = stage_ms(phase, order_of[i], r)
        if (!count) continue
        order()
        us[i] = mid; total += mid
    }
    for (i = 1; i <= names; i++)
        if (i in us) text = text sprintf("%s%s %s (%.1f %%)", text ? ", " : "", order_of[i], short(us[i]),
            100 * us[i] / total)
    printf "- %s, ms %s: %s; together %s\n", phase, unit, text, short(total)
}

# One type of weights: kvdbg, the peer, their ratio; decode also in bytes a second of what the machine can read.
function type_cell(row,    mine, theirs) {
    mine = value[row, "kvdbg", 1, "tps"]; theirs = value[row, "peer", 1, "tps"]
    return sprintf("%.1f | %s", mine, theirs ? sprintf("%.1f | %.2f", theirs, mine / theirs) : "– | –")
}

function by_type(    order_of, names, i, row, bytes, gbs) {
    names = split(types, order_of, " ")
    for (i = 1; i <= names; i++) {
        row = "decode_" order_of[i]
        if (!n[row, "kvdbg"]) continue
        if (!rows++)
            print "\nTypes of weights, tokens a second, one process each (the default model requantized; decode at depth 0, " \
                "prefill of 512):\n\n| file | decode: kvdbg | peer | ratio | GB/s, of the floor | prefill: kvdbg | peer " \
                "| ratio |\n|---|---|---|---|---|---|---|---|"
        bytes = value[row, "kvdbg", 1, "bytes"] * value[row, "kvdbg", 1, "tps"] / 1e9
        printf "| %s | %s | %.1f, %.0f %% | %s |\n", order_of[i], type_cell(row), bytes, 100 * bytes / read,
            type_cell("prefill_" order_of[i])
    }
}

END {
    read = limit("read_gbs"); f32 = limit("f32_gflops"); bf16 = limit("bf16_gflops"); int8 = limit("int8_gops")
    peak = bf16 ? bf16 : f32; kind = bf16 ? "bf16" : "f32"
    print "- limits, measured before | after, best of several runs each: read " both("read_gbs") " GB/s in huge pages (" \
        both("huge_mib") " of 256 MiB granted), " both("read_small_gbs") " in pages of 4 KiB; multiply-adds f32 " \
        both("f32_gflops") ", bf16 " both("bf16_gflops") " GFLOP/s, int8 " both("int8_gops") " GOP/s"
    print warning
    print "| what | processes | kvdbg: median (min–max) | peer: median (min–max) | ratio of medians (worst round) " \
        "| target | met by the worst round | floor | share of floor |"
    print "|---|---|---|---|---|---|---|---|---|"

    rate("decode at depth 0, Q4_1", "decode0", "decode0", 1.3, read * 1e9 / value["decode0", "kvdbg", 1, "bytes"])
    rate("decode near depth 8,192 (64 tokens behind 7,900), Q4_1, whole cache", "decode8k", "decode8k", 2.0,
        read * 1e9 / value["decode8k", "kvdbg", 1, "bytes"])
    tokens = 2048; gflop = value["prefill", "kvdbg", 1, "gflop"]
    attention = value["prefill", "kvdbg", 1, "attention_gflop"]
    rate("prefill of 2,048, entropy on, Q4_1", "prefill", "prefill", 2.0, tokens * peak / gflop)
    rate("the same with all-row scores", "scores", "prefill", 1.5, tokens * peak / (gflop + attention / 2))
    rate("prefill of 2,048, entropy on, BF16 file, peer's BF16", "prefill_bf16", "prefill_bf16", 1.0,
        tokens * peak / gflop)
    rate("prefill of 2,048, entropy on, Q8_0 file, peer's BF16", "prefill_q8_0", "prefill_bf16", 1.0,
        tokens * peak / gflop)

    if (n["entropy", "kvdbg"]) {
        low = 100 * value["entropy", "kvdbg", 1, "min_cost"]; high = 100 * value["entropy", "kvdbg", 1, "max_cost"]
        mid = 100 * value["entropy", "kvdbg", 1, "cost"]; count = 1
        figure(sprintf("cost of entropy, of whole prefill at 2,048 (%d pairs in one process)",
            value["entropy", "kvdbg", 1, "pairs"]), "%.1f", " %", "≤ 5 %", verdict(high <= 5), "≤ 2 %", "–")
    }
    count = 0
    for (r = 1; r <= rounds["stages"]; r++)
        list[++count] = 100 * stage_ms("prefill", "observe", r) / stage_ms("prefill", "attend", r)
    if (count) {
        order()
        figure("all-row scores: stage observe, of stage attend, prefill of 2,048", "%.0f", " %", "≤ 70 %",
            verdict(high <= 70), "50 %", sprintf("%.0f %%", 5000 / mid))
    }
    if (collect("compress", "kvdbg", "whole_ms")) {
        floor = value["compress", "kvdbg", 1, "whole_bytes"] / read / 1e6
        figure("decode step over 8,000 tokens, whole cache", "%.2f", " ms", "–", "–", sprintf("%.2f ms", floor),
            sprintf("%.0f %%", 100 * floor / mid))
        collect("compress", "kvdbg", "kept_ms")
        floor -= value["compress", "kvdbg", 1, "saved_bytes"] / read / 1e6
        figure("the same at 25 %", "%.2f", " ms", "–", "–", sprintf("%.2f ms", floor),
            sprintf("%.0f %%", 100 * floor / mid))
        count = 0
        for (r = 1; r <= rounds["compress"]; r++) {
            saved = value["compress", "kvdbg", r, "whole_ms"] - value["compress", "kvdbg", r, "kept_ms"]
            ideal = value["compress", "kvdbg", r, "saved_bytes"] / read / 1e6
            list[++count] = 100 * saved / ideal
        }
        order()
        figure(sprintf("time saved a step, of bytes saved ÷ read bandwidth (%.2f ms)", ideal), "%.0f", " %",
            "≥ 80 %", verdict(low >= 80), "100 %", mid > 100 ? "above: not bound by reading" : sprintf("%.0f %%", mid))
    }
    if (collect("memory", "kvdbg", "beyond_mib")) {
        figure(sprintf("peak memory beyond weights, resident and active KV at %d tokens",
            value["memory", "kvdbg", 1, "tokens"]), "%.1f", " MiB", "≤ 200 MiB", verdict(high <= 200), "–", "–")
    }
    if (collect("boundary", "kvdbg", "ns"))
        figure("a stage boundary that nobody asked for", "%.0f", " ns", "≤ 200 ns", verdict(high <= 200), "–", "–")
    if (collect("condition", "kvdbg", "with_ms")) {
        count = 0
        for (r = 1; r <= rounds["condition"]; r++)
            list[++count] = 100 * (value["condition", "kvdbg", r, "with_ms"] / \
                value["condition", "kvdbg", r, "without_ms"] - 1)
        order()
        figure("break .attend if entropy[12][3] > 99, of the whole run", "%.1f", " %", "≤ 5 %", verdict(mid <= 5), "–",
            "–")
    }

    for (i = split("heat tokens split budget", layout); i > 0; i--)
        if (collect("screen", "kvdbg", layout[i] "_ms"))
            figure("the screen, a picture of layout " layout[i] " at 200 x 60, record of 36 layers x 32 heads x " \
                "32,768 tokens", "%.2f", " ms", "≤ 16 ms", verdict(high <= 16), "–", "–")
    count = 0
    for (r = 1; r <= rounds["screen"]; r++)
        list[++count] = value["screen", "kvdbg", r, "first_ms"] - value["screen", "kvdbg", r, "opened_ms"]
    if (count) {
        order()
        figure("the screen, first picture, beyond opening the model", "%.1f", " ms", "≤ 100 ms", verdict(high <= 100),
            "–", "–")
    }

    by_type()
    print "\nTime by stage, medians over the processes (prefill of 2,048 with the preset seed, then compress, then " \
        "32 tokens; stepped stage by stage):\n"
    stages("prefill", "a prefill")
    stages("compress", "a compression")
    stages("decode", "a token")
    m = "memory"
    printf "- memory, MiB: peak %s = weights %s (mapped; every page that was read counts in the peak) + resident " \
        "%s + active %s + the rest, in which statistics %s, scratch %s; mapped file pages at the end %s (weights, " \
        "program, libraries); open model, before the prompt, %s\n", value[m, "kvdbg", 1, "peak_mib"],
        value[m, "kvdbg", 1, "weights_mib"], value[m, "kvdbg", 1, "resident_mib"],
        value[m, "kvdbg", 1, "active_mib"], value[m, "kvdbg", 1, "stats_mib"], value[m, "kvdbg", 1, "scratch_mib"],
        value[m, "kvdbg", 1, "file_mib"], value[m, "kvdbg", 1, "open_mib"]
    printf "- twin of the run and the full cache at 2,048: %.2f ms a step of two tokens\n",
        value["twin", "kvdbg", 1, "step_ms"]
    printf "- score of a reply of %s tokens at 2,048: %.1f ms a kept set, %s sets in a call\n",
        value["score", "kvdbg", 1, "reply"], value["score", "kvdbg", 1, "set_ms"], value["score", "kvdbg", 1, "sets"]

    print "\nHow it was obtained: every sample is a fresh process. kvdbg's prefill is the second one in its process, " \
        "by wall clock around stepping, statistics, last row's logits and sampling included; llama-bench's is " \
        "behind its own warm-up. Decode is the mean over 64 tokens behind 4 untimed ones, greedy sampling included " \
        "(llama-bench samples nothing). Prompts are random ids. Floors: " kind " multiply-adds of matrices and causal " \
        "attention (½ of attention more for all-row scores) ÷ measured " kind " peak; weights as stored and K, V and " \
        "positions as allocated, read once a token, ÷ measured read bandwidth. Cost of entropy: the same prefill " \
        "with and without, in turns, in one process (tests/bench/entropy.c). Steps at 25 %: median of 96 steps of " \
        "whole and kept cache in turns, from one prefill, entropy budgets over the newest tokens. The boundary: decode's empty stage, observe, " \
        "stepped over on synthetic:tiny, less the clock around it. The condition: whole processes of kvdbg in pairs, " \
        "with and without it, a prompt of some 1,750 tokens and 64 decoded ones; met by the median of the pairs. The " \
        "screen: taking what is shown anew and drawing it, without a terminal, mean of 50 with the focus moving " \
        "(tests/bench/record.py makes the record); the first picture: whole processes, with and without one."
}
