/* The parts of the inspector that need no engine: words, lookup, locations, the expression parser. Its objects are in no
 * library, so the sources are included. */
#include "tests/tap.h"

#include <stdlib.h>

#include "inspector/expr/expr_parse.c"
#include "inspector/language/line.c"
#include "inspector/stop/location.c"
#include "inspector/language/lookup.c"

static struct kv_error err;

static void splits(void)
{
    struct line_words w;
    REQUIRE(!line_split("  a 'b c' \"d \\\"e\\n\" f'g'h  ", &w, &err), "%s", err.text);
    REQUIRE(w.count == 4, "%d words", w.count);
    CHECK(!strcmp(w.word[1], "b c") && !strcmp(w.word[2], "d \"e\n") && !strcmp(w.word[3], "fgh"), "%s|%s|%s",
        w.word[1], w.word[2], w.word[3]);
    CHECK(line_split("a \"b", &w, &err) == KV_BAD_ARG, "open quote taken");
    char many[300];
    for (int i = 0; i < 298; i++) many[i] = i % 2 ? ' ' : 'x';
    many[298] = '\0';
    CHECK(line_split(many, &w, &err) == KV_BAD_ARG, "149 words taken");
}

static void quotes(void)
{
    char out[24];
    CHECK(!strcmp(line_quote("a\"\n\xff\xc3\xa9", 6, out, sizeof out), "\"a\\\"\\n\\xff\xc3\xa9\""), "got %s", out);
    line_quote("0123456789012345678901234567890123456789", 40, out, sizeof out);
    CHECK(strlen(out) < sizeof out && strstr(out, "...\""), "got %s", out);
    for (int size = 9; size < 24; size++) {
        memset(out, 'Z', sizeof out);
        line_quote("\x01\x02\x03\x04\x05\x06\x07\x08", 8, out, (size_t)size);
        CHECK(strlen(out) < (size_t)size, "%zu bytes in %d", strlen(out), size);
    }
}

static void utf8(void)
{
    CHECK(
        line_utf8("a", 1) == 1 && line_utf8("\xc3\xa9", 2) == 2 && line_utf8("\xf0\x9f\xa6\x8a", 4) == 4, "valid");
    CHECK(line_utf8("\xc3", 1) == -1 && line_utf8("\xe2\x82", 2) == -1, "cut off");
    CHECK(!line_utf8("\xc0\xaf", 2) && !line_utf8("\xed\xa0\x80", 3) && !line_utf8("\xf4\x90\x80\x80", 4) &&
              !line_utf8("\x80", 1) && !line_utf8("\xe0\x80\x80", 3),
        "overlong, surrogate, beyond U+10FFFF");
}

static void numbers_as_text(void)
{
    char text[32];
    long long n;
    CHECK(
        !strcmp(line_thousands(98362432, text), "98,362,432") && !strcmp(line_thousands(7, text), "7"), "%s", text);
    CHECK(!strcmp(line_bytes(31639680, text), "30.2 MiB"), "%s", text);
    CHECK(!strcmp(line_bytes(512, text), "512 B"), "%s", text);
    CHECK(!line_integer("-7", -10, 10, "x", &n, &err) && n == -7, "%lld", n);
    static const char *const bad[] = { "", "x", "1x", "11", "99999999999999999999", " " };
    for (size_t i = 0; i < KV_COUNT(bad); i++)
        CHECK(line_integer(bad[i], -10, 10, "x", &n, &err) == KV_BAD_ARG, "\"%s\" taken", bad[i]);
}

static const struct command sub[] = { { .name = "alpha" }, { .name = "alpine" }, { 0 } };
static const struct command rows[] = { { .name = "step", .aliases = "s" }, { .name = "stepi", .aliases = "si sj" },
    { .name = "start" }, { .name = "group", .sub = sub }, { .name = "hidden", .group = GROUP_HIDDEN },
    { .name = "recall" }, { 0 } };
static const struct command_pin pins[] = { { "sta", NULL }, { "st", "stepi" }, { "rec", "record" },
    { NULL, NULL } };

static const char *found(const char *word)
{
    const struct command *row;
    enum kv_status st = lookup_row(rows, "", pins, word, strlen(word), &row, &err);
    return st == KV_NOT_FOUND ? "undefined" : st ? "ambiguous" : row->name;
}

static void lookup(void)
{
    static const struct {
        const char *word, *name;
    } cases[] = { { "step", "step" }, { "s", "step" }, { "sj", "stepi" }, { "st", "stepi" }, { "sta", "ambiguous" },
        { "star", "start" }, { "ste", "ambiguous" }, { "g", "group" }, { "x", "undefined" }, { "hid", "undefined" },
        { "hidden", "hidden" }, { "rec", "undefined" }, { "reca", "recall" }, { "re", "recall" } };
    for (size_t i = 0; i < KV_COUNT(cases); i++)
        CHECK(!strcmp(found(cases[i].word), cases[i].name), "%s is %s", cases[i].word, found(cases[i].word));
    found("setp");
    CHECK(strstr(err.text, "Undefined command: \"setp\".  Try \"help\".") && strstr(err.text, "\"step\""), "%s",
        err.text);
    const struct command *row;
    const char *args;
    char path[32];
    CHECK(!lookup_line(rows, pins, " g  alpi  x y", &row, &args, path, sizeof path, &err) &&
              !strcmp(path, "group alpine") && !strcmp(args, "x y"),
        "%s|%s", path, args);
    CHECK(lookup_line(rows, pins, "g al", &row, &args, path, sizeof path, &err) == KV_BAD_ARG &&
              !strcmp(err.text, "Ambiguous group command \"al\": alpha, alpine."),
        "%s", err.text);
}

static void distance(void)
{
    static const struct {
        const char *a, *b;
        int d;
    } cases[] = { { "step", "step", 0 }, { "stpe", "step", 1 }, { "stp", "step", 1 }, { "stepp", "step", 1 },
        { "stop", "step", 1 }, { "tsep", "step", 1 }, { "pste", "step", 2 }, { "", "a", 1 }, { "", "ab", 2 },
        { "abc", "cba", 2 } };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        int d = lookup_distance(cases[i].a, strlen(cases[i].a), cases[i].b);
        CHECK(d == cases[i].d, "%s to %s is %d", cases[i].a, cases[i].b, d);
    }
}

static void locations(void)
{
    static const char *const good[] = { "prefill", "decode:17", "L12", "decode:5:L12.attend", ".select", "*18342",
        "prefill:L3", "compress:0:L29.gather", "decode:1.sample", "prefill.head", "done", "*0", "@0", "@137",
        "\"needle\"", "\"two words\"", "\"a \\\"quote\\\"\"" };
    static const char *const bad[] = { "", "foo", "L", "L30", "L-1", "decode:", "decode:x", "decode:5:", "L1.",
        "L1.foo", "decode:99999999999", "*", "*x", "*-1", "compress.attend", "prefill.select", "L1.head", "load",
        "tokenize", "decode:5:L12.attend:3", "@", "@x", "@-1", "@1.2", "@99999999999", "\"", "\"\"", "\"x",
        "\"x\"y", "\"a text of more than the sixty-three bytes that a location has room for\"", "L1L2", "Decode",
        ".", ":", "decodeL1", "done:L1" };
    struct location loc;
    char text[64];
    for (size_t i = 0; i < KV_COUNT(good); i++) {
        REQUIRE(!location_parse(good[i], strlen(good[i]), 30, &loc, &err), "%s: %s", good[i], err.text);
        location_text(&loc, text, sizeof text);
        CHECK(!strcmp(text, good[i]), "%s came back as %s", good[i], text);
    }
    for (size_t i = 0; i < KV_COUNT(bad); i++)
        CHECK(location_parse(bad[i], strlen(bad[i]), 30, &loc, &err), "\"%s\" taken", bad[i]);
    CHECK(location_length("L12.attend if x") == 10 && location_length("\"a b\" if x") == 5 && !location_length(""),
        "where a location ends");
    CHECK(location_length("\"a \\\" b\"x y") == 9 && location_length("\"open end") == 9, "quotes in a location");
}

/* A walk over the boundaries of a small request: 2 prefill segments, compress, 3 decoded tokens, 2 layers. */
struct walk {
    struct kv_where at[200];
    int n;
};

static void add(struct walk *w, int phase, int pass, int layer, int stage)
{
    w->at[w->n] = (struct kv_where){ (enum kv_phase)phase, pass, layer, (enum kv_stage)stage, (uint64_t)w->n, 0 };
    w->n++;
}

static void build(struct walk *w)
{
    w->n = 0;
    for (int phase = KV_PHASE_prefill; phase <= KV_PHASE_decode; phase++) {
        int passes = phase == KV_PHASE_prefill    ? 2
                     : phase == KV_PHASE_compress ? 1
                     : phase == KV_PHASE_decode   ? 3
                                                  : 0;
        for (int p = 0; p < passes; p++) {
            bool compress = phase == KV_PHASE_compress;
            add(w, phase, p, -1, compress ? KV_STAGE_allocate : KV_STAGE_embed);
            for (int l = 0; l < 2; l++)
                for (int s = compress ? KV_STAGE_select : KV_STAGE_norm;
                     s <= (compress ? KV_STAGE_gather : KV_STAGE_ffn); s++)
                    add(w, phase, p, l, s);
            if (!compress) add(w, phase, p, -1, KV_STAGE_head);
            if (!compress) add(w, phase, p, -1, KV_STAGE_sample);
        }
    }
    add(w, KV_PHASE_done, 0, -1, KV_STAGE_COUNT);
}

/* The next boundary that a step of this unit ends at, as engine.h says. */
static int step(const struct walk *w, int from, enum kv_unit unit)
{
    for (int i = from + 1; i < w->n; i++) {
        const struct kv_where *a = &w->at[from], *b = &w->at[i];
        bool pass = a->phase != b->phase || a->pass != b->pass;
        if (unit == KV_UNIT_STAGE || pass || (unit == KV_UNIT_LAYER && a->layer != b->layer)) return i;
    }
    return w->n;
}

/* Whatever unit location_unit allows, no place is stepped over: the stops are those of a walk stage by stage. */
static void no_stop_is_missed(void)
{
    static const char *const places[] = { "prefill", "prefill:1", "compress", "decode:1", "L1", "decode:L0",
        "prefill:1:L1", ".select", ".attend", "L1.ffn", "decode:2:L0.qkv", "decode.sample", "*0", "*17", "*60",
        "done", "compress:L1.gather" };
    static const int hits[] = { 1, 1, 1, 1, 6, 3, 1, 2, 10, 5, 1, 3, 1, 1, 1, 1, 1 };
    struct walk w;
    build(&w);
    for (size_t i = 0; i < KV_COUNT(places); i++) {
        struct location loc;
        REQUIRE(!location_parse(places[i], strlen(places[i]), 2, &loc, &err), "%s", err.text);
        int fine = location_here(&loc, &w.at[0], NULL), coarse = fine;
        for (int t = 1; t < w.n; t++) fine += location_here(&loc, &w.at[t], &w.at[t - 1]);
        for (int t = 0, before; t < w.n - 1;) {
            before = t;
            t = step(&w, t, location_unit(&loc, &w.at[t]));
            if (t < w.n) coarse += location_here(&loc, &w.at[t], &w.at[before]);
        }
        CHECK(fine == hits[i] && coarse == fine, "%s: %d stops stage by stage, %d in long steps, %d expected",
            places[i], fine, coarse, hits[i]);
    }
}

/* The tree as text: (+ 1 (* 2 3)). */
static void tree(const struct expr *e, int n, char *out, size_t size)
{
    static const char *const names[] = { "||", "&&", "|", "^", "&", "==", "!=", "<", "<=", ">", ">=", "<<", ">>",
        "+", "-", "*", "/", "%", "@", ",", "neg", "!", "~", "pos" };
    const struct expr_node *x = &e->node[n];
    size_t at = strlen(out);
    int parts[4] = { x->left, x->right, -1, -1 };
    if (x->kind == EXPR_NUMBER)
        snprintf(out + at, size - at, x->integral ? "%.0f" : "%g!", x->number);
    else if (x->kind == EXPR_NAME)
        snprintf(out + at, size - at, "%s", e->pool + x->text);
    else if (x->kind == EXPR_DOLLAR)
        snprintf(out + at, size - at, "$%s", e->pool + x->text);
    else if (x->kind == EXPR_TEXT)
        snprintf(out + at, size - at, "\"%s\"", e->pool + x->text);
    else if (x->kind == EXPR_ALL)
        snprintf(out + at, size - at, "all");
    else if (x->kind == EXPR_LAST)
        snprintf(out + at, size - at, "last");
    else if (x->kind == EXPR_FOCUS)
        snprintf(out + at, size - at, "[]");
    else {
        const char *head = x->kind == EXPR_INDEX                           ? "at"
                           : x->kind == EXPR_CALL                          ? e->pool + x->text
                           : x->kind == EXPR_RANGE                         ? ".."
                           : x->kind == EXPR_CHOICE                        ? "?"
                           : x->kind == EXPR_ASSIGN && x->op == EXPR_COMMA ? "="
                                                                           : names[x->op];
        snprintf(out + at, size - at, "(%s", head);
        if (x->kind == EXPR_CHOICE) parts[2] = x->first;
        for (int i = 0; i < 4; i++) {
            if (parts[i] < 0) continue;
            strncat(out, " ", size - strlen(out) - 1);
            tree(e, parts[i], out, size);
        }
        for (int i = x->kind == EXPR_INDEX || x->kind == EXPR_CALL ? x->first : -1; i >= 0; i = e->node[i].next) {
            strncat(out, " ", size - strlen(out) - 1);
            tree(e, i, out, size);
        }
        strncat(out, ")", size - strlen(out) - 1);
    }
}

static void expressions(void)
{
    static const struct {
        const char *text, *tree;
    } cases[] = {
        { "1+2*3", "(+ 1 (* 2 3))" },
        { "(1+2)*3", "(* (+ 1 2) 3)" },
        { "1-2-3", "(- (- 1 2) 3)" },
        { "-a*b", "(* (neg a) b)" },
        { "!a==b", "(== (! a) b)" },
        { "a<b&&c>=d||e", "(|| (&& (< a b) (>= c d)) e)" },
        { "E[3]", "(at E 3)" },
        { "E[-1]", "(at E (neg 1))" },
        { "kept[*][2..5]", "(at kept all (.. 2 5))" },
        { "a[last-1]", "(at a (- last 1))" },
        { "a[][last]", "(at a [] last)" },
        { "E[3]@4", "(@ (at E 3) 4)" },
        { "policy.top-k-1", "(- policy.top-k 1)" },
        { "decode.top-k", "decode.top-k" },
        { "a-b", "(- a b)" },
        { "budget.app[2]", "(at budget.app 2)" },
        { "1.5e3", "1500!" },
        { "0x10", "16" },
        { "1..2", NULL },
        { "sum(a, 2)", "(sum a 2)" },
        { "f()", "(f)" },
        { "$1+$$2-$x", "(- (+ $1 $$2) $x)" },
        { "$", "$" },
        { "a ? b : c ? d : e", "(? a b (? c d e))" },
        { "tok[\"a b\"]", "(at tok \"a b\")" },
        { "last", "last" },
        { "a|b^c&d==e", "(| a (^ b (& c (== d e))))" },
        { "1<<2+3>>4", "(>> (<< 1 (+ 2 3)) 4)" },
        { "~+-a", "(~ (pos (neg a)))" },
        { "$x = $y += 2", "(= $x (+ $y 2))" },
        { "run(2).kept[0]", "(at run(2).kept 0)" },
        { "(a, b)", "(, a b)" },
        { "010 + 0b11", "(+ 8 3)" },
        { "'A'", "65" },
        { "$_isvoid($a)", "($_isvoid $a)" },
        { "a = 1 = 2", NULL },
        { "f(1) = 2", NULL },
        { "run(x).kept", NULL },
        { "", NULL },
        { "1 2", NULL },
        { "(1", NULL },
        { "a[", NULL },
        { "a[1", NULL },
        { "\"x", NULL },
        { "1 +", NULL },
        { "a b", NULL },
        { "#", NULL },
        { "1e", NULL },
        { "a ? b", NULL },
        { "f(1", NULL },
        { "a[1..]", NULL },
        { "12ab", NULL },
    };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        struct expr e;
        char got[200] = "";
        enum kv_status st = expr_parse_all(cases[i].text, &e, &err);
        if (!cases[i].tree) {
            CHECK(st == KV_BAD_ARG, "\"%s\" taken", cases[i].text);
            continue;
        }
        CHECK(!st, "%s: %s", cases[i].text, err.text);
        if (!st) tree(&e, e.root, got, sizeof got);
        CHECK(!strcmp(got, cases[i].tree), "%s is %s, expected %s", cases[i].text, got, cases[i].tree);
    }
}

/* Random strings over the language's own characters end in a tree or a sentence, never in a crash. */
static void hostile_expressions(void)
{
    static const char alphabet[] = "ae[]()*..\"$1-+!?:,<>=&|@%/ lastE@0x9\\'\xc3";
    srand(7);
    int parsed = 0;
    for (int i = 0; i < 200000; i++) {
        char text[200];
        int n = rand() % (i % 100 ? 24 : 190);
        for (int k = 0; k < n; k++) text[k] = alphabet[rand() % (int)(sizeof alphabet - 1)];
        text[n] = '\0';
        struct expr e;
        struct location loc;
        struct line_words words;
        char out[256];
        err.text[0] = '\0';
        enum kv_status st = expr_parse_all(text, &e, &err);
        parsed += !st;
        CHECK(!st || err.text[0], "no sentence for \"%s\"", text);
        CHECK(st || (e.root >= 0 && e.root < e.count), "no root for \"%s\"", text);
        location_parse(text, (size_t)n, 30, &loc, &err);
        if (!line_split(text, &words, &err)) CHECK(words.count <= LINE_WORDS, "%d words", words.count);
        line_unescape(text, out);
        CHECK(strlen(out) <= (size_t)n, "longer");
    }
    CHECK(parsed > 1000, "only %d of 200000 were expressions", parsed);
}

static void deep_expressions(void)
{
    static const char *const shapes[] = { "(", "-", "!", "a[", "f(", "a?", "1+" };
    for (size_t i = 0; i < KV_COUNT(shapes); i++) {
        char text[4000] = "";
        struct expr e;
        for (int k = 0; k < 900; k++) strcat(text, shapes[i]);
        strcat(text, "1");
        CHECK(expr_parse_all(text, &e, &err) == KV_BAD_ARG, "900 times %s taken", shapes[i]);
    }
}

static const struct tap_case cases[] = {
    { "line: words and quotes", splits },
    { "line: bytes as a quoted string", quotes },
    { "line: UTF-8", utf8 },
    { "line: numbers", numbers_as_text },
    { "lookup: exact, alias, pin, prefix", lookup },
    { "lookup: edit distance", distance },
    { "location: grammar, there and back", locations },
    { "location: long steps miss no stop", no_stop_is_missed },
    { "expr: trees", expressions },
    { "expr: hostile text", hostile_expressions },
    { "expr: depth is bounded", deep_expressions },
};
int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
