/* Operators, assignment and functions of expressions: against gcc's answers, against GDB's sentences, and over text that
 * means nothing. Names and indices need a session, so they are stood in for. */
#include "tests/tap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "inspector/expr/expr_call.c"
#include "inspector/expr/expr_eval.c"
#include "inspector/expr/expr_parse.c"
#include "inspector/expr/value.c"

#define GOLDEN "tests/golden/expressions.txt"

static struct kv_error err;
static struct value variable[26]; /* $a to $z */

/* --- what the inspector would have --------------------------------------------------------------------------------- */

enum kv_status names_assign(struct session *s, const char *name, struct value *value, struct kv_error *e)
{
    (void)s;
    if (name[0] < 'a' || name[0] > 'z' || name[1]) return kv_fail(e, KV_BAD_ARG, "no $%s", name);
    value_free(&variable[name[0] - 'a']);
    variable[name[0] - 'a'] = *value;
    *value = (struct value){ 0 };
    return KV_OK;
}

enum kv_status names_assign_setting(
    struct session *s, const char *name, const struct value *value, struct kv_error *e)
{
    (void)s, (void)value;
    return kv_fail(e, KV_BAD_ARG, "%s is no setting", name);
}

enum kv_status names_find(struct session *s, const char *name, struct named *out, struct kv_error *e)
{
    (void)s, (void)out;
    return kv_fail(e, KV_NOT_FOUND, "No value \"%s\" here.", name);
}

enum kv_status tokens_find(struct session *s, const char *text, int32_t **out, int *n, int *places)
{
    (void)s, (void)text, (void)out, (void)n, (void)places;
    return KV_NOT_FOUND;
}

double array_number(const struct kv_array *a, size_t i)
{
    (void)a, (void)i;
    return 0;
}

/* $a, and {1, 2, 3} as v, {3, 2, 1} as w. */
enum kv_status expr_index(
    struct session *s, const struct expr *e, int node, struct value *out, struct kv_error *error)
{
    (void)s;
    const char *name = e->pool + e->node[node].text;
    if (e->node[node].kind == EXPR_DOLLAR)
        return name[0] >= 'a' && name[0] <= 'z' ? value_copy(out, &variable[name[0] - 'a'], error) : KV_OK;
    if (e->node[node].kind != EXPR_NAME || (strcmp(name, "v") && strcmp(name, "w")))
        return kv_fail(error, KV_NOT_FOUND, "No value here.");
    enum kv_status st = value_array(out, 1, (size_t[]){ 3 }, error);
    for (int i = 0; i < 3 && !st; i++) out->number[i] = name[0] == 'v' ? i + 1 : 3 - i;
    out->integral = true;
    return st;
}

enum kv_status expr_repeat(
    struct session *s, const struct expr *e, const struct expr_node *n, struct value *out, struct kv_error *error)
{
    (void)s, (void)e, (void)n, (void)out;
    return kv_fail(error, KV_BAD_ARG, "Only values with an index can be extended with '@'.");
}

/* --- tests --------------------------------------------------------------------------------------------------------- */

static void golden(void)
{
    char line[1024], kind, expected[64], text[64], *tab;
    FILE *f = fopen(GOLDEN, "r");
    REQUIRE(f, "there is no " GOLDEN);
    int lines = 0, wrong = 0;
    for (; fgets(line, sizeof line, f); lines++) {
        struct value v;
        line[strcspn(line, "\n")] = '\0';
        REQUIRE((tab = strchr(line, '\t')) && sscanf(line, "%c %63s", &kind, expected) == 2, "line %d", lines);
        if (expr_text(NULL, tab + 1, &v, &err)) {
            CHECK(wrong++ > 9, "%s: %s", tab + 1, err.text);
            continue;
        }
        snprintf(text, sizeof text, v.integral ? "%.0f" : "%.17g", v.number[0]);
        if (strcmp(text, expected) || v.integral != (kind == 'i'))
            CHECK(wrong++ > 9, "%s is %s, not %s", tab + 1, expected, text);
        value_free(&v);
    }
    fclose(f);
    CHECK(lines >= 1000 && !wrong, "%d of %d differ", wrong, lines);
}

static double worth(const char *text)
{
    struct value v;
    if (expr_text(NULL, text, &v, &err)) return -12345;
    double x = v.kind == VALUE_NUMBER ? v.number[0] : -54321;
    value_free(&v);
    return x;
}

static void assigns(void)
{
    static const struct {
        const char *text;
        double x;
    } cases[] = { { "$x = 5", 5 }, { "$x += 2", 7 }, { "$x -= 1", 6 }, { "$x *= 3", 18 }, { "$x /= 2", 9 },
        { "$x %= 4", 1 }, { "$x <<= 3", 8 }, { "$x >>= 1", 4 }, { "$x |= 3", 7 }, { "$x &= 6", 6 },
        { "$x ^= 15", 9 }, { "$y = $x = 4", 4 }, { "$x++", 4 }, { "$x--", 5 }, { "++$x", 5 }, { "--$x", 4 },
        { "-$x", -4 }, { "- -3", 3 }, { "--3", 3 }, { "5--3", 8 }, { "5 - -3", 8 }, { "$x - -$y", 8 },
        { "$x == 4", 1 }, { "(1, 2, 3)", 3 }, { "1, 2", 2 }, { "($z = 2, $z * $z)", 4 }, { "$z", 2 },
        { "$x = $y == 4 ? 10 : 20", 10 }, { "!$u", 1 }, { "0b101", 5 }, { "'\\n'", 10 }, { "'\\101'", 65 },
        { "'A' + 1", 66 }, { "-0 == 0", 1 }, { "1 ? 2 : 3 ? 4 : 5", 2 }, { "1 << 40 >> 38", 4 } };
    for (size_t i = 0; i < KV_COUNT(cases); i++)
        CHECK(worth(cases[i].text) == cases[i].x, "%s is %g", cases[i].text, worth(cases[i].text));
}

static void calls(void)
{
    static const struct {
        const char *text;
        double x;
    } cases[] = { { "sum(v)", 6 }, { "dot(v, w)", 10 }, { "norm(v) == sqrt(14)", 1 }, { "cos(v, v) > 0.999999", 1 },
        { "cos(v, w) == 10 / norm(v) / norm(w)", 1 }, { "kl(v, v)", 0 }, { "abs(js(v, w) - js(w, v)) < 1e-15", 1 },
        { "abs(kl(v, w) - (log(1./3) + 3 * log(3)) / 6) < 1e-12", 1 }, { "js(v, w) < log(2)", 1 },
        { "overlap(v, w)", 1 }, { "overlap(v > 1, v < 3)", 1. / 3 }, { "overlap(v > 9, v > 9)", 1 },
        { "sum(topk(v, 2) == topk(w, 2)) == 0", 0 }, { "topk(v, 1)", 2 }, { "sum(rank(v) + rank(w))", 6 },
        { "rank(w)", 0 }, { "argmax(w)", 0 }, { "max(0./0)", NAN }, { "$_isvoid($u)", 1 }, { "$_isvoid(1)", 0 },
        { "$_streq(\"a\", \"a\")", 1 }, { "$_strlen(\"abc\")", 3 }, { "len(\"abc\")", 3 },
        { "len(\"abc\" \"d\")", 4 }, { "$_regex(\"abc\", \"a.c$\")", 1 }, { "$_regex(\"abcd\", \"a.c$\")", 0 },
        { "len(v)", 3 } };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        double x = worth(cases[i].text);
        CHECK(x == cases[i].x || (isnan(x) && isnan(cases[i].x)), "%s is %.17g (%s)", cases[i].text, x, err.text);
    }
}

/* The sentences are GDB's where it has one. */
static void refusals(void)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = { { "1 = 2", "Left operand of assignment is not an lvalue." },
        { "v[0] = 2", "Left operand of assignment is not an lvalue." }, { "7 / 0", "Division by zero" },
        { "7 % 0", "Division by zero" }, { "2.5 & 1", "Integer-only operation on floating point number." },
        { "1 << 2.5", "Integer-only operation on floating point number." },
        { "~2.5", "Argument to complement operation not an integer, boolean." }, { "08", "Invalid number \"08\"." },
        { "0x", "Invalid number \"0x\"." }, { "0b", "Invalid number \"0b\"." }, { "5u", "Invalid number \"5u\"." },
        { "1 << 64", "A shift count must be in 0..63, not 64." },
        { "1e19 | 1", "Integer-only operation on floating point number." },
        { "20000000000000000000 | 1", "That number has more bits than the 64 that & | ^ ~ << >> work on." },
        { "1 ? 2", "A syntax error in expression, near `'." }, { "1 +", "A syntax error in expression, near `'." },
        { "'ab'", "Invalid character constant." }, { "'a", "Unmatched single quote." },
        { "''", "Unmatched single quote." },
        { "v + (v, 1) + topk(w, 2)", "The arrays on both sides of an operator must have the same shape." },
        { "topk(v, 4)", "topk takes an array and how many, from 1 to the 3 there are." },
        { "dot(v, 1)", "dot needs two arrays of one size, not of 3 and 1 numbers." },
        { "kl(v, -v)", "kl needs distributions: nothing below 0, and a sum above 0." },
        { "*v", "Attempt to take contents of a non-pointer value." },
        { "&v", "Attempt to take address of value not located in memory." },
        { "sum(v, w)", "sum takes one argument." }, { "cos(v)", "cos takes two arguments." },
        { "nosuch(1)", "No function \"nosuch\"; there are: sum" }, { "sum($u)", "sum needs numbers, not void." } };
    for (size_t i = 0; i < KV_COUNT(cases); i++) {
        struct value v;
        err = (struct kv_error){ 0 };
        bool taken = !expr_text(NULL, cases[i].text, &v, &err);
        CHECK(!taken && !strncmp(err.text, cases[i].sentence, strlen(cases[i].sentence)), "%s: %s", cases[i].text,
            taken ? "taken" : err.text);
        value_free(&v);
    }
}

/* Random text of the grammar's own characters: refused or worth something, never more. */
static void hostile(void)
{
    static const char *const parts[] = { "1", "0x", "v", "$a", "$", "$$", "(", ")", "[", "]", "+", "-", "++", "--",
        "=", "==", "<<=", "<", "&", "&&", "|", "?", ":", ",", "'", "\"", "\\", "..", "@", "~", "!", "run(2).v",
        "run(", "last", "*", "sum(", "$_isvoid(", "e", ".", " " };
    unsigned state = 1;
    int taken = 0;
    for (int round = 0; round < 20000; round++) {
        char text[256] = "";
        for (unsigned n = 1 + (state >> 20) % 12, at = 0; n > 0; n--) {
            state = state * 1664525 + 1013904223;
            at += (unsigned)snprintf(text + at, sizeof text - at, "%s", parts[(state >> 16) % KV_COUNT(parts)]);
        }
        struct value v;
        taken += !expr_text(NULL, text, &v, &err);
        value_free(&v);
    }
    CHECK(taken > 100, "%d taken", taken);
    char deep[3000];
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    struct value v;
    CHECK(expr_text(NULL, deep, &v, &err) == KV_BAD_ARG, "3000 parentheses");
    for (size_t i = 0; i + 3 < sizeof deep; i += 3) memcpy(deep + i, "$a=", 3);
    CHECK(expr_text(NULL, deep, &v, &err) == KV_BAD_ARG, "1000 assignments");
}

static const struct tap_case cases[] = {
    { "random C expressions, as gcc has them", golden },
    { "assignment, increments, commas and literals, as GDB has them", assigns },
    { "functions", calls },
    { "refusals in GDB's words", refusals },
    { "random text is refused or worth something", hostile },
};

int main(int argc, char **argv)
{
    int failures = tap_main(argc, argv, cases, KV_COUNT(cases));
    for (int i = 0; i < 26; i++) value_free(&variable[i]);
    return failures;
}
