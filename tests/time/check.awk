# Reads what a walk printed: one tick of one branch has one hash, and there and back again ends where it began.
# exit 1 with a comment for what did not hold; else a line with the counts.

function bad(text) { print "# " text; failed = 1; exit 1 }

/^begun$/ { run++; tick = "" }
/^Tick / { tick = run " " $2 " " $NF; place = $0 }
/^(away|home)$/ { told = $0; next }
/^[0-9a-f]+$/ && length($0) == 16 {
    if (told == "away") away = $0
    else if (told == "home" && $0 != away) bad("there and back again: " away " became " $0 " after " place)
    else if (told == "home") trips++
    else if (tick != "") {
        if (tick in hash && hash[tick] != $0) bad("two states at one boundary, " hash[tick] " and " $0 ": " place)
        again += tick in hash
        hash[tick] = $0
        n++
        tick = ""
    }
    told = ""
}
END {
    if (failed) exit 1
    for (t in hash) places++
    if (!n || again < n / 10 || trips < 3) bad(n + 0 " hashes, " again + 0 " seen again, " trips + 0 " trips: the walk tests nothing")
    printf "%d hashes at %d places of %d requests, %d seen again, %d trips\n", n, places, run, again, trips
}
