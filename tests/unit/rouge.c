/* ROUGE and stems against rouge-score and NLTK (tests/golden/rouge.txt, by tests/oracle/rouge_golden.py). */
#include "engine/judge/porter.h"
#include "engine/rouge.h"
#include "tests/tap.h"
#include "tests/unit/policy_random.h"

#include <stdlib.h>

#define GOLDEN "tests/golden/rouge.txt"
#define WORDS  "tests/golden/rouge-words.txt"
#define PAIRS  1200

static char words[2000][32];
static int n_words;

static void read_words(void)
{
    FILE *file = fopen(WORDS, "r");
    n_words = 0;
    while (file && n_words < (int)KV_COUNT(words) && fscanf(file, "%31s", words[n_words]) == 1) n_words++;
    if (file) fclose(file);
}

/* In step with the oracle's text(). */
static struct rouge_text draw_text(uint64_t *r, int pool, char *out)
{
    static const char *const separators[] = { " ", " ", " ", " ", ", ", ".\n", "-", "'", "\n\n", " \xE2\x84\xAA",
        "\xC4\xB0 ", " \xC3\xA9" };
    size_t n = 0;
    for (int k = (int)rng_draw(r, 0, 120); k > 0; k--) {
        const char *word = words[rng_draw(r, 0, pool - 1)];
        bool upper = rng_draw(r, 0, 3) == 0;
        for (; *word; word++) out[n++] = upper && *word >= 'a' && *word <= 'z' ? (char)(*word - 32) : *word;
        const char *separator = separators[rng_draw(r, 0, (int64_t)KV_COUNT(separators) - 1)];
        memcpy(out + n, separator, strlen(separator));
        n += strlen(separator);
    }
    return (struct rouge_text){ out, n };
}

static void golden_pairs(void)
{
    static char a[8192], b[8192];
    char line[512];
    int seen = 0;
    read_words();
    FILE *file = fopen(GOLDEN, "r");
    REQUIRE(file && n_words > 1000, "%s or %s is missing", GOLDEN, WORDS);
    while (fgets(line, sizeof line, file)) {
        unsigned long long seed;
        int stem;
        double want[2 * ROUGE_KINDS];
        if (sscanf(line, "%llu %d %lf %lf %lf %lf %lf %lf %lf %lf", &seed, &stem, &want[0], &want[1], &want[2],
                &want[3], &want[4], &want[5], &want[6], &want[7]) != 10)
            continue;
        uint64_t r = seed;
        struct kv_error err = { 0 };
        struct rouge_score got[ROUGE_KINDS];
        CHECK(rng_draw(&r, 0, 1) == stem, "pair %llu", seed);
        int pool = (int)rng_draw(&r, 3, n_words);
        struct rouge_text target = draw_text(&r, pool, a), prediction = draw_text(&r, pool, b);
        REQUIRE(!rouge(&target, 1, &prediction, stem, got, &err), "%s", err.text);
        for (int k = 0; k < ROUGE_KINDS; k++)
            CHECK(fabs(got[k].precision - want[2 * k]) <= 1e-7 && fabs(got[k].recall - want[2 * k + 1]) <= 1e-7,
                "pair %llu %s: P %.9g R %.9g, expected %.9g %.9g", seed, rouge_name[k], got[k].precision,
                got[k].recall, want[2 * k], want[2 * k + 1]);
        seen++;
    }
    fclose(file);
    CHECK(seen == PAIRS, "%d pairs", seen);
}

static void golden_stems(void)
{
    char line[512], word[40], stem[40], want[40];
    int seen = 0;
    FILE *file = fopen(GOLDEN, "r");
    REQUIRE(file, "%s is missing", GOLDEN);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "stem %39s %39s", word, want) != 2) continue;
        memcpy(stem, word, sizeof stem);
        size_t n = strlen(stem) > 3 ? porter_stem(stem, strlen(stem)) : strlen(stem);
        CHECK(n == strlen(want) && !memcmp(stem, want, n), "%s: %.*s, expected %s", word, (int)n, stem, want);
        seen++;
    }
    fclose(file);
    CHECK(seen > 1000, "%d stems", seen);
}

static struct rouge_text text(const char *s) { return (struct rouge_text){ s, strlen(s) }; }

static void best_of_several(void)
{
    struct rouge_text target[] = { text("w1 w2 w3 w4 w5"), text("w1 w2 w6 w7 w8"), text("") };
    struct rouge_text prediction = text("w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5"), nothing = text("");
    struct rouge_score s[ROUGE_KINDS];
    struct kv_error err = { 0 };
    REQUIRE(!rouge(target, 1, &prediction, false, s, &err), "%s", err.text);
    CHECK(fabs(s[ROUGE_LSUM].precision - .4) < 1e-12 && fabs(s[ROUGE_LSUM].recall - .8) < 1e-12,
        "P %g R %g, as the ROUGE paper's example", s[ROUGE_LSUM].precision, s[ROUGE_LSUM].recall);
    REQUIRE(!rouge(target, 3, &prediction, false, s, &err), "%s", err.text);
    CHECK(s[ROUGE_1].recall == 1, "the second target has every word: %g", s[ROUGE_1].recall);
    REQUIRE(!rouge(target, 3, &nothing, false, s, &err), "%s", err.text);
    for (int k = 0; k < ROUGE_KINDS; k++) CHECK(s[k].f == 0 && s[k].precision == 0, "nothing scores nothing");
    CHECK(rouge(target, 0, &prediction, false, s, &err) == KV_BAD_ARG && err.text[0], "no target is an error");
}

static const struct tap_case cases[] = {
    { "1,200 pairs as rouge-score counts them", golden_pairs },
    { "stems as NLTK's", golden_stems },
    { "the best of several references, empty texts", best_of_several },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
