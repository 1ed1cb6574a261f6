/* The table of settings: every row works, every bad value is refused with the sentence that users read. */
#include "engine/policy/allocate.h"
#include "engine/policy/policy.h"
#include "engine/policy/score.h"
#include "tests/tap.h"

static struct kv_policy preset(const char *name)
{
    struct kv_policy p = { 0 };
    struct kv_error err = { 0 };
    CHECK(!policy_preset(name, &p, &err), "%s", err.text);
    return p;
}

static const char *value_of(const struct kv_policy *p, const char *name)
{
    static char text[64];
    struct kv_error err = { 0 };
    CHECK(!policy_get(p, name, text, sizeof text, &err), "%s", err.text);
    return text;
}

static void defaults(void)
{
    static const char *const expected[][2] = {
        { "policy.preset", "seed" },
        { "policy.allocator", "entropy" },
        { "policy.selector", "sum" },
        { "policy.ratio", "0.25" },
        { "policy.tokens", "unset" },
        { "policy.bytes", "unset" },
        { "policy.sinks", "4" },
        { "policy.recent", "32" },
        { "policy.floor", "auto" },
        { "policy.cap", "auto" },
        { "policy.rows", "all" },
        { "policy.window", "32" },
        { "policy.entropy", "raw" },
        { "policy.power", "1" },
        { "policy.beta", "20" },
        { "policy.tau1", "1" },
        { "policy.tau2", "1" },
        { "policy.temperature", "1" },
        { "policy.mass", "0.9" },
        { "policy.boundary", "0.2" },
        { "policy.share", "0.3" },
        { "policy.gamma", "200" },
        { "policy.future", "512" },
        { "policy.epsilon", "0" },
        { "policy.pool", "auto" },
        { "policy.kernel", "5" },
        { "policy.reduce", "sum" },
        { "policy.group", "shared" },
        { "policy.alpha", "1" },
        { "policy.query-aware", "on" },
        { "policy.every", "0" },
        { "policy.positions", "keep" },
        { "policy.unseen", "drop" },
        { "policy.profile", "none" },
    };
    struct kv_policy p = preset("seed");
    for (size_t i = 0; i < KV_COUNT(expected); i++) {
        const struct setting *s = policy_setting_at((int)i);
        REQUIRE(s && !strcmp(s->name, expected[i][0]), "row %zu is not %s", i, expected[i][0]);
        CHECK(!strcmp(value_of(&p, s->name), expected[i][1]), "%s is %s, expected %s", s->name,
            value_of(&p, s->name), expected[i][1]);
    }
    CHECK(!policy_setting_at((int)KV_COUNT(expected)) && !policy_setting_at(-1), "the table is longer");
}

static void rows_are_whole(void)
{
    struct kv_error err = { 0 };
    char legal[300];
    for (int i = 0; policy_setting_at(i); i++) {
        const struct setting *s = policy_setting_at(i);
        const char *word;
        size_t end = strlen(s->help);
        CHECK(policy_setting_find(s->name) == s, "%s is not found", s->name);
        CHECK(end > 10 && s->help[end - 1] == '.', "help of %s: %s", s->name, s->help);
        CHECK(strlen(setting_legal(s, legal, sizeof legal)) + 1 < sizeof legal, "%s: %s", s->name, legal);
        for (int v = 0; (word = setting_word(s, v)); v++) {
            struct kv_policy p = preset("seed");
            CHECK(!policy_set(&p, s->name, word, &err), "%s", err.text);
            CHECK(!strcmp(value_of(&p, s->name), word), "%s: %s reads back as %s", s->name, word,
                value_of(&p, s->name));
        }
    }
    for (int i = 0; policy_preset_name(i); i++) {
        preset(policy_preset_name(i));
        CHECK(policy_preset_help(i) && strlen(policy_preset_help(i)) > 10, "help of preset %d", i);
    }
}

static void presets(void)
{
    struct kv_policy p = preset("seed-literal");
    CHECK(p.sinks == 0 && p.recent == 0 && p.ratio == 0.25, "seed-literal: %d %d", p.sinks, p.recent);
    p = preset("full");
    CHECK(p.ratio == 1 && policy_needs(&p) == 0, "full: ratio %g, needs %u", p.ratio, policy_needs(&p));
    p = preset("inverse");
    CHECK(!strcmp(value_of(&p, "policy.allocator"), "inverse"), "inverse");
    p = preset("streaming");
    CHECK(!strcmp(value_of(&p, "policy.selector"), "streaming") && p.sinks == 4, "streaming");
    p = preset("manual");
    CHECK(!strcmp(value_of(&p, "policy.allocator"), "manual"), "manual");
    p.floor = 77;
    struct kv_error err = { 0 };
    REQUIRE(!policy_set(&p, "policy.preset", "uniform", &err), "%s", err.text);
    CHECK(p.floor == POLICY_AUTO && !strcmp(value_of(&p, "policy.allocator"), "uniform"), "a preset sets all");
}

static void needs(void)
{
    static const struct {
        const char *preset, *selector, *rows;
        unsigned needs;
    } expected[] = {
        { "seed", "sum", "all", KV_NEED_ENTROPY | KV_NEED_COLUMNS },
        { "seed", "mean", "window", KV_NEED_ENTROPY | KV_NEED_WINDOW },
        { "uniform", "sum", "last", KV_NEED_LAST },
        { "uniform", "window", "all", KV_NEED_WINDOW },
        { "inverse", "last", "all", KV_NEED_ENTROPY | KV_NEED_LAST },
        { "manual", "mix", "all", KV_NEED_COLUMNS | KV_NEED_WINDOW },
        { "uniform", "streaming", "all", 0 },
        { "uniform", "random", "all", 0 },
    };
    for (size_t i = 0; i < KV_COUNT(expected); i++) {
        struct kv_policy p = preset(expected[i].preset);
        struct kv_error err = { 0 };
        const char *names[] = { "policy.selector", "policy.rows" };
        const char *values[] = { expected[i].selector, expected[i].rows };
        REQUIRE(!policy_set_many(&p, names, values, 2, &err), "%s", err.text);
        CHECK(policy_needs(&p) == expected[i].needs, "%s with %s: %u, expected %u", expected[i].preset,
            expected[i].selector, policy_needs(&p), expected[i].needs);
        CHECK(!(policy_needs(&p) & ~policy_needs_all()), "needs_all lacks some of %u", policy_needs(&p));
    }
    struct kv_policy p = preset("seed");
    CHECK(policy_sets(&p, 3) == 1, "shared");
    p.group = POLICY_GROUP_KV_HEAD;
    CHECK(policy_sets(&p, 3) == 3, "by KV head");
}

static void good_values(void)
{
    static const char *const good[][2] = {
        { "policy.ratio", "1" },
        { "policy.ratio", "0.001" },
        { "policy.tokens", "1" },
        { "policy.tokens", "2147483647" },
        { "policy.bytes", "4611686018427387904" },
        { "policy.sinks", "0" },
        { "policy.floor", "auto" },
        { "policy.cap", "9" },
        { "policy.window", "128" },
        { "policy.power", "-0.5" },
        { "policy.kernel", "1" },
        { "policy.every", "64" },
        { "policy.query-aware", "off" },
        { "policy.ratio", "0.1234567890123" },
    };
    struct kv_policy p = preset("seed");
    struct kv_error err = { 0 };
    for (size_t i = 0; i < KV_COUNT(good); i++) {
        CHECK(!policy_set(&p, good[i][0], good[i][1], &err), "%s", err.text);
        CHECK(!strcmp(value_of(&p, good[i][0]), good[i][1]), "%s %s reads back as %s", good[i][0], good[i][1],
            value_of(&p, good[i][0]));
    }
}

#define TOKENS0 "must be a whole number of tokens, 0 or more, got"
#define TOKENS1 "must be a whole number of tokens, at least 1, got"

static void bad_values(void)
{
    static const struct {
        const char *name, *value, *says;
    } bad[] = {
        { "policy.ratio", "-1", "policy.ratio must be in (0, 1], got \"-1\"." },
        { "policy.ratio", "0", "policy.ratio must be in (0, 1], got \"0\"." },
        { "policy.ratio", "1.0001", "policy.ratio must be in (0, 1], got \"1.0001\"." },
        { "policy.ratio", "nan", "policy.ratio must be in (0, 1], got \"nan\"." },
        { "policy.ratio", "inf", "policy.ratio must be in (0, 1], got \"inf\"." },
        { "policy.ratio", "1e999", "policy.ratio must be in (0, 1], got \"1e999\"." },
        { "policy.ratio", "0.5x", "policy.ratio must be in (0, 1], got \"0.5x\"." },
        { "policy.ratio", " 0.5", "policy.ratio must be in (0, 1], got \" 0.5\"." },
        { "policy.ratio", "0x1p-1", "policy.ratio must be in (0, 1], got \"0x1p-1\"." },
        { "policy.ratio", "0.5.5", "policy.ratio must be in (0, 1], got \"0.5.5\"." },
        { "policy.ratio", "", "policy.ratio must be in (0, 1], got \"\"." },
        { "policy.ratio", "-", "policy.ratio must be in (0, 1], got \"-\"." },
        { "policy.tokens", "0", "policy.tokens " TOKENS1 " \"0\"." },
        { "policy.tokens", "2147483648", "policy.tokens " TOKENS1 " \"2147483648\"." },
        { "policy.tokens", "99999999999999999999", "policy.tokens " TOKENS1 " \"99999999999999999999\"." },
        { "policy.tokens", "12.5", "policy.tokens " TOKENS1 " \"12.5\"." },
        { "policy.bytes", "-5", "policy.bytes must be a whole number of bytes, at least 1, got \"-5\"." },
        { "policy.bytes", "9223372036854775807",
            "policy.bytes must be a whole number of bytes, at least 1, got \"9223372036854775807\"." },
        { "policy.sinks", "-1", "policy.sinks " TOKENS0 " \"-1\"." },
        { "policy.recent", "many", "policy.recent " TOKENS0 " \"many\"." },
        { "policy.floor", "0", "policy.floor must be auto or a whole number of tokens, at least 1, got \"0\"." },
        { "policy.cap", "-1", "policy.cap must be auto or a whole number of tokens, at least 1, got \"-1\"." },
        { "policy.window", "129", "policy.window must be a whole number of rows in 1..128, got \"129\"." },
        { "policy.kernel", "4", "policy.kernel must be an odd number in 1..255, got \"4\"." },
        { "policy.kernel", "257", "policy.kernel must be an odd number in 1..255, got \"257\"." },
        { "policy.power", "17", "policy.power must be in [-16, 16], got \"17\"." },
        { "policy.rows", "some", "policy.rows must be one of all, window, last, got \"some\"." },
        { "policy.query-aware", "1", "policy.query-aware must be one of off, on, got \"1\"." },
        { "policy.beta", "0.5", "policy.beta must be in [1, 1e6], got \"0.5\"." },
        { "policy.beta", "nan", "policy.beta must be in [1, 1e6], got \"nan\"." },
        { "policy.tau1", "0", "policy.tau1 must be in [0.01, 100], got \"0\"." },
        { "policy.tau2", "inf", "policy.tau2 must be in [0.01, 100], got \"inf\"." },
        { "policy.temperature", "-1", "policy.temperature must be in [0.01, 1000], got \"-1\"." },
        { "policy.mass", "1.1", "policy.mass must be in (0, 1], got \"1.1\"." },
        { "policy.boundary", "-0.1", "policy.boundary must be in [0, 1], got \"-0.1\"." },
        { "policy.share", "0", "policy.share must be in (0, 1], got \"0\"." },
        { "policy.future", "0", "policy.future must be a whole number of positions in 1..8192, got \"0\"." },
        { "policy.epsilon", "2", "policy.epsilon must be in [0, 1], got \"2\"." },
        { "policy.allocator", "cakes",
            "policy.allocator must be one of entropy, uniform, inverse, pyramid, cake," },
        { "policy.selector", "sums", "policy.selector must be one of sum, mean, window, cake, last, mix," },
        { "policy.preset", "cakes", "policy.preset must be one of seed, seed-literal," },
        { "policy.rows", "\033[2J\xff", "policy.rows must be one of all, window, last, got \"?[2J?\"." },
        { "policy.rows", "a value that goes on and on and on, longer than any line should be",
            "policy.rows must be one of all, window, last, got \"a value that goes on and on and on, longer "
            "t...\"." },
    };
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        struct kv_policy p = preset("seed"), before = p;
        struct kv_error err = { 0 };
        CHECK(policy_set(&p, bad[i].name, bad[i].value, &err) == KV_BAD_ARG, "%s %s was accepted", bad[i].name,
            bad[i].value);
        size_t length = strlen(bad[i].says); /* of a list that goes on, as far as the comma */
        CHECK(!strncmp(err.text, bad[i].says, length + (bad[i].says[length - 1] != ',')), "%s %s says: %s",
            bad[i].name, bad[i].value, err.text);
        CHECK(!memcmp(&p, &before, sizeof p), "%s %s changed the policy", bad[i].name, bad[i].value);
    }
    struct kv_policy p = preset("seed");
    struct kv_error err = { 0 };
    char text[8];
    CHECK(policy_set(&p, "policy.size", "1", &err) == KV_NOT_FOUND, "policy.size was accepted");
    CHECK(strstr(err.text, "No setting \"policy.size\"") &&
              strstr(err.text, "query-aware every positions unseen profile."),
        "%s", err.text);
    CHECK(policy_get(&p, "ratio", text, sizeof text, &err) == KV_NOT_FOUND, "ratio was found");
}

static void one_total(void)
{
    struct kv_policy p = preset("seed");
    struct kv_error err = { 0 };
    REQUIRE(!policy_set(&p, "policy.tokens", "300", &err), "%s", err.text);
    CHECK(p.ratio == 0 && p.tokens == 300 && !strcmp(value_of(&p, "policy.ratio"), "unset"), "ratio stays");
    REQUIRE(!policy_set(&p, "policy.bytes", "5000000000", &err), "%s", err.text);
    CHECK(p.tokens == 0 && p.bytes == 5000000000 && !strcmp(value_of(&p, "policy.tokens"), "unset"), "tokens stay");
    REQUIRE(!policy_set(&p, "policy.ratio", "0.5", &err), "%s", err.text);
    CHECK(p.bytes == 0 && p.ratio == 0.5, "bytes stay");
}

static void many_at_once(void)
{
    static const struct {
        const char *name[3], *value[3];
        int count;
        const char *says; /* NULL = accepted */
    } lines[] = {
        { { "policy.ratio", "policy.sinks" }, { "0.5", "8" }, 2, NULL },
        { { "policy.preset", "policy.tokens" }, { "uniform", "64" }, 2, NULL },
        { { "policy.ratio", "policy.tokens" }, { "0.5", "300" }, 2,
            "policy.ratio and policy.tokens are two names of one budget; give one of them." },
        { { "policy.bytes", "policy.sinks", "policy.ratio" }, { "9999", "1", "0.5" }, 3,
            "policy.bytes and policy.ratio are two names of one budget; give one of them." },
        { { "policy.sinks", "policy.sinks" }, { "1", "2" }, 2, "policy.sinks is given twice." },
        { { "policy.sinks", "policy.preset" }, { "1", "full" }, 2,
            "policy.preset sets all the others, so it must come before policy.sinks." },
        { { "policy.sinks", "policy.kernel" }, { "1", "2" }, 2,
            "policy.kernel must be an odd number in 1..255, got \"2\"." },
    };
    for (size_t i = 0; i < KV_COUNT(lines); i++) {
        struct kv_policy p = preset("seed"), before = p;
        struct kv_error err = { 0 };
        enum kv_status status = policy_set_many(&p, lines[i].name, lines[i].value, lines[i].count, &err);
        CHECK((status == KV_OK) == !lines[i].says, "line %zu: %s", i, err.text);
        CHECK(!lines[i].says || !strcmp(err.text, lines[i].says), "line %zu says: %s", i, err.text);
        CHECK(!status || !memcmp(&p, &before, sizeof p), "line %zu changed the policy", i);
        CHECK(status || memcmp(&p, &before, sizeof p), "line %zu changed nothing", i);
    }
}

static void difference(void)
{
    struct kv_policy p = preset("uniform");
    struct kv_error err = { 0 };
    const struct setting *changed[4];
    char title[64];
    CHECK(policy_diff(&p, changed, 4) == 0, "a fresh preset differs");
    CHECK(!strcmp(policy_title(&p, title, sizeof title), "uniform"), "%s", title);
    REQUIRE(!policy_set(&p, "policy.tokens", "64", &err) && !policy_set(&p, "policy.pool", "max", &err), "%s",
        err.text);
    REQUIRE(policy_diff(&p, changed, 4) == 2, "%d differ", policy_diff(&p, changed, 4));
    CHECK(!strcmp(changed[0]->name, "policy.tokens") && !strcmp(changed[1]->name, "policy.pool"), "%s, %s",
        changed[0]->name, changed[1]->name);
    CHECK(policy_diff(&p, NULL, 0) == 2, "without room");
    CHECK(!strcmp(policy_title(&p, title, sizeof title), "uniform (edited)"), "%s", title);
}

static void checks(void)
{
    struct kv_error err = { 0 };
    struct kv_policy p = preset("seed");
    CHECK(!policy_check(&p, 1000, 30, 768, &err), "%s", err.text);
    CHECK(policy_check(&p, 0, 30, 768, &err) == KV_BAD_ARG, "an empty prompt");
    p.floor = 50, p.cap = 40;
    CHECK(policy_check(&p, 1000, 30, 768, &err) == KV_BAD_ARG, "floor above cap");
    CHECK(!strcmp(err.text, "policy.floor is 50, above policy.cap, which is 40."), "%s", err.text);
    p = preset("seed");
    p.kernel = 4;
    CHECK(policy_check(&p, 1000, 30, 768, &err) == KV_BAD_ARG, "an even kernel");
    CHECK(!strcmp(err.text, "policy.kernel must be an odd number in 1..255, got \"4\"."), "%s", err.text);
    p = preset("seed");
    p.tokens = 7;
    CHECK(policy_check(&p, 1000, 30, 768, &err) == KV_BAD_ARG, "two totals");
    p.tokens = 0, p.ratio = 0;
    CHECK(policy_check(&p, 1000, 30, 768, &err) == KV_BAD_ARG, "no total");
    p.ratio = NAN;
    CHECK(policy_check(&p, 1000, 30, 768, &err) == KV_BAD_ARG, "a ratio that is no number");
    p.ratio = 0, p.bytes = 23039;
    CHECK(policy_check(&p, 1000, 30, 768, &err) == KV_BAD_ARG, "bytes for no token");
    CHECK(!strcmp(err.text,
              "policy.bytes is 23039, but one token needs 768 bytes in each of 30 layers: set at least 23040."),
        "%s", err.text);
    p.bytes = 23040;
    CHECK(!policy_check(&p, 1000, 30, 768, &err), "%s", err.text);
    p.selector = 99;
    CHECK(policy_check(&p, 1000, 30, 768, &err) == KV_BAD_ARG, "selector 99");
}

int main(int argc, char **argv)
{
    static const struct tap_case cases[] = {
        { "defaults, in the order of the table", defaults },
        { "every row has help and legal values that read back", rows_are_whole },
        { "presets set all", presets },
        { "needs of policies", needs },
        { "good values read back as typed", good_values },
        { "bad values are refused in words and change nothing", bad_values },
        { "the last total given holds", one_total },
        { "several settings at once: all or none", many_at_once },
        { "what differs from the preset", difference },
        { "impossible combinations are refused", checks },
    };
    return tap_main(argc, argv, cases, KV_COUNT(cases));
}
