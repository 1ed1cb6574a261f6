/* Porter's five steps. Digits count as consonants. */
#include "engine/judge/porter.h"

#include <string.h>

struct word {
    char *text;
    size_t n;
};

static bool aeiou(char c) { return memchr("aeiou", c, 5) != NULL; }

/* A y is a vowel behind a consonant, so of a run of them every second one. */
static bool vowel(const char *text, size_t i)
{
    size_t first = i;
    if (text[i] != 'y') return aeiou(text[i]);
    while (first > 0 && text[first - 1] == 'y') first--;
    bool is = first > 0 && !aeiou(text[first - 1]);
    return (i - first) % 2 ? !is : is;
}

/* How many times a vowel is followed by a consonant in the first n letters. */
static int measure(const char *text, size_t n)
{
    int m = 0;
    bool before = false;
    for (size_t i = 0; i < n; i++) {
        bool now = aeiou(text[i]) || (text[i] == 'y' && i > 0 && !before);
        m += before && !now;
        before = now;
    }
    return m;
}

static bool has_vowel(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (aeiou(text[i]) || (text[i] == 'y' && i > 0)) return true; /* a y behind a vowel needs no look */
    return false;
}

static bool double_consonant(const char *text, size_t n)
{
    return n >= 2 && text[n - 1] == text[n - 2] && !vowel(text, n - 1);
}

/* Consonant, vowel, consonant other than w, x, y; or just vowel, consonant. */
static bool short_end(const char *text, size_t n)
{
    if (n == 2) return vowel(text, 0) && !vowel(text, 1);
    return n >= 3 && !vowel(text, n - 3) && vowel(text, n - 2) && !vowel(text, n - 1) &&
           !memchr("wxy", text[n - 1], 3);
}

static bool ends(const struct word *w, const char *suffix)
{
    size_t k = strlen(suffix);
    return w->n >= k && !memcmp(w->text + w->n - k, suffix, k);
}

static void put(struct word *w, size_t cut, const char *ending)
{
    w->n -= cut;
    memcpy(w->text + w->n, ending, strlen(ending));
    w->n += strlen(ending);
}

struct rule {
    const char *suffix, *ending;
};

/* The first rule whose suffix fits decides, whether the stem before it has the measure or not; the l of "logi" counts
 * as part of the stem. */
static void apply(struct word *w, const struct rule *rule, size_t count, int least)
{
    for (size_t i = 0; i < count; i++) {
        if (!ends(w, rule[i].suffix)) continue;
        size_t cut = strlen(rule[i].suffix), stem = w->n - cut;
        bool ion = !strcmp(rule[i].suffix, "ion"), logi = !strcmp(rule[i].suffix, "logi");
        if (measure(w->text, stem + logi) < least) return;
        if (ion && !memchr("st", w->text[stem - 1], 2)) return;
        put(w, cut, rule[i].ending);
        return;
    }
}

static void plurals(struct word *w)
{
    static const struct rule rules[] = { { "sses", "ss" }, { "ies", "i" }, { "ss", "ss" }, { "s", "" } };
    if (ends(w, "ies") && w->n == 4)
        put(w, 3, "ie");
    else
        apply(w, rules, KV_COUNT(rules), 0);
}

static void past_and_gerund(struct word *w)
{
    if (ends(w, "ied")) {
        put(w, 3, w->n == 4 ? "ie" : "i");
        return;
    }
    if (ends(w, "eed")) {
        if (measure(w->text, w->n - 3) > 0) put(w, 1, "");
        return;
    }
    size_t cut = ends(w, "ed") ? 2 : ends(w, "ing") ? 3 : 0;
    if (!cut || !has_vowel(w->text, w->n - cut)) return;
    put(w, cut, "");
    if (ends(w, "at") || ends(w, "bl") || ends(w, "iz"))
        put(w, 0, "e");
    else if (double_consonant(w->text, w->n))
        put(w, memchr("lsz", w->text[w->n - 1], 3) ? 0 : 1, "");
    else if (measure(w->text, w->n) == 1 && short_end(w->text, w->n))
        put(w, 0, "e");
}

static void final_y(struct word *w)
{
    if (ends(w, "y") && w->n > 2 && !vowel(w->text, w->n - 2)) put(w, 1, "i");
}

static void double_suffixes(struct word *w)
{
    static const struct rule rules[] = { { "ational", "ate" }, { "tional", "tion" }, { "enci", "ence" },
        { "anci", "ance" }, { "izer", "ize" }, { "bli", "ble" }, { "alli", "al" }, { "entli", "ent" },
        { "eli", "e" }, { "ousli", "ous" }, { "ization", "ize" }, { "ation", "ate" }, { "ator", "ate" },
        { "alism", "al" }, { "iveness", "ive" }, { "fulness", "ful" }, { "ousness", "ous" }, { "aliti", "al" },
        { "iviti", "ive" }, { "biliti", "ble" }, { "fulli", "ful" }, { "logi", "log" } };
    while (ends(w, "alli") && measure(w->text, w->n - 4) > 0) put(w, 2, "");
    apply(w, rules, KV_COUNT(rules), 1);
}

static void more_suffixes(struct word *w)
{
    static const struct rule rules[] = { { "icate", "ic" }, { "ative", "" }, { "alize", "al" }, { "iciti", "ic" },
        { "ical", "ic" }, { "ful", "" }, { "ness", "" } };
    apply(w, rules, KV_COUNT(rules), 1);
}

static void last_suffixes(struct word *w)
{
    static const struct rule rules[] = { { "al", "" }, { "ance", "" }, { "ence", "" }, { "er", "" }, { "ic", "" },
        { "able", "" }, { "ible", "" }, { "ant", "" }, { "ement", "" }, { "ment", "" }, { "ent", "" },
        { "ion", "" }, { "ou", "" }, { "ism", "" }, { "ate", "" }, { "iti", "" }, { "ous", "" }, { "ive", "" },
        { "ize", "" } };
    apply(w, rules, KV_COUNT(rules), 2);
}

static void tidy(struct word *w)
{
    if (ends(w, "e")) {
        int m = measure(w->text, w->n - 1);
        if (m > 1 || (m == 1 && !short_end(w->text, w->n - 1))) put(w, 1, "");
    }
    if (ends(w, "ll") && measure(w->text, w->n - 1) > 1) put(w, 1, "");
}

/* Words that the steps would get wrong, and their stems. */
static const struct rule irregular[] = { { "skies", "sky" }, { "sky", "sky" }, { "dying", "die" },
    { "lying", "lie" }, { "tying", "tie" }, { "news", "news" }, { "innings", "inning" }, { "inning", "inning" },
    { "outings", "outing" }, { "outing", "outing" }, { "cannings", "canning" }, { "canning", "canning" },
    { "howe", "howe" }, { "proceed", "proceed" }, { "exceed", "exceed" }, { "succeed", "succeed" } };

size_t porter_stem(char *word, size_t n)
{
    struct word w = { word, n };
    for (size_t i = 0; i < KV_COUNT(irregular); i++) {
        if (n != strlen(irregular[i].suffix) || memcmp(word, irregular[i].suffix, n) != 0) continue;
        put(&w, n, irregular[i].ending);
        return w.n;
    }
    if (n <= 2) return n;
    plurals(&w);
    past_and_gerund(&w);
    final_y(&w);
    double_suffixes(&w);
    more_suffixes(&w);
    last_suffixes(&w);
    tidy(&w);
    return w.n;
}
