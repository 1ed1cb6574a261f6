/* Tokenizers of every family against the ids of the `tokenizers` and `sentencepiece` libraries: small vocabularies in
 * tests/golden/tokenizer, the texts of tests/golden/tokenizer.txt, and texts with each family's own added tokens. */
#include "tests/tap.h"
#include "tests/unit/escapes.h"

#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

#include <stdlib.h>

enum { TEXTS_MAX = 8192 };

static struct kv_error error;

/* ---- golden files ---- */

struct text {
    char mode;
    char *bytes;
    size_t n;
};

static struct text texts[TEXTS_MAX]; /* of tokenizer.txt */
static size_t n_texts;

/* A field with its escapes undone; released by the caller. */
static struct text unescaped(char mode, const char *field, size_t length)
{
    struct text t = { mode, malloc(length + 1), 0 };
    memcpy(t.bytes, field, length);
    t.bytes[length] = '\0';
    t.n = unescape(t.bytes).length;
    return t;
}

static bool load_texts(void)
{
    FILE *file = fopen("tests/golden/tokenizer.txt", "r");
    char *line = NULL;
    size_t room = 0;
    if (!file) return false;
    while (getline(&line, &room, file) > 0 && n_texts < TEXTS_MAX) {
        char *tab = line[1] == '\t' ? strchr(line + 2, '\t') : NULL;
        if (*line == '#' || *line == 'g' || !tab) continue;
        texts[n_texts++] = unescaped(*line, line + 2, (size_t)(tab - line - 2));
    }
    free(line);
    fclose(file);
    return true;
}

static uint32_t hash(const int32_t *ids, size_t n)
{
    uint32_t h = 0x811C9DC5;
    for (size_t i = 0; i < 4 * n; i++) h = (h ^ (uint32_t)(ids[i / 4] >> (i % 4 * 8) & 0xFF)) * 0x01000193;
    return h;
}

/* ---- comparing ---- */

struct family {
    const char *name;
    const struct kv_tokenizer *t;
    int equal;
};

static void compare(struct family *f, const struct text *text, uint32_t want, const char *where, size_t number)
{
    int32_t *ids;
    size_t n, bytes;
    char *back;
    enum kv_status status = tok_encode(f->t, text->bytes, text->n, text->mode == 's', &ids, &n, &error);
    if (status) {
        CHECK(!status, "%s, %s %zu: %s", f->name, where, number, error.text);
        return;
    }
    bool same = hash(ids, n) == want;
    CHECK(same, "%s, %s %zu: %zu other ids for \"%.*s\"", f->name, where, number, n, (int)kv_min(text->n, 60),
        text->bytes);
    CHECK(tok_decode(f->t, ids, n, &back, &bytes, &error) == KV_OK, "%s", error.text);
    f->equal += same;
    free(back);
    free(ids);
}

/* The hashes of all texts, then lines with their own texts. */
static void compare_all(struct family *f, bool without_nul)
{
    char path[128], *line = NULL;
    size_t room = 0, next = 0;
    snprintf(path, sizeof path, "tests/golden/tokenizer/%s/ids.txt", f->name);
    FILE *file = fopen(path, "r");
    REQUIRE(file, "cannot open %s", path);
    for (size_t number = 1; getline(&line, &room, file) > 0; number++) {
        char *tab = line[1] == '\t' ? strchr(line + 2, '\t') : NULL;
        if (tab) {
            struct text own = unescaped(*line, line + 2, (size_t)(tab - line - 2));
            compare(f, &own, (uint32_t)strtoul(tab + 1, NULL, 16), "line", number);
            free(own.bytes);
            continue;
        }
        for (char *p = line, *end; *line != '#'; p = end) {
            uint32_t want = (uint32_t)strtoul(p, &end, 16);
            if (end == p) break;
            while (without_nul && next < n_texts && memchr(texts[next].bytes, 0, texts[next].n)) next++;
            if (next == n_texts) break;
            struct text text = texts[next++];
            if (without_nul) text.mode = 't';
            if (want) compare(f, &text, want, "text", next);
        }
    }
    free(line);
    fclose(file);
    CHECK(f->equal >= 3200, "%s: only %d strings are equal", f->name, f->equal);
}

static void compare_folder(const char *name, bool without_nul)
{
    char path[128];
    struct kv_vocabulary v;
    struct kv_tokenizer *t;
    if (!n_texts && !load_texts()) SKIP("tests/golden/tokenizer.txt is not there");
    snprintf(path, sizeof path, "tests/golden/tokenizer/%s", name);
    REQUIRE(kv_vocabulary_from_folder(path, 0, &v, &error) == KV_OK, "%s: %s", name, error.text);
    REQUIRE(tok_open(&v, &t, &error) == KV_OK, "%s: %s", name, error.text);
    kv_vocabulary_close(&v); /* a tokenizer borrows nothing */
    struct family f = { name, t, 0 };
    compare_all(&f, without_nul);
    tok_close(t);
}

static void gpt2(void) { compare_folder("gpt2", false); }
static void smollm(void) { compare_folder("smollm", false); }
static void llama3(void) { compare_folder("llama3", false); }
static void qwen2(void) { compare_folder("qwen2", false); }
static void tekken(void) { compare_folder("tekken", false); }
static void rules(void) { compare_folder("rules", false); }
static void mistral(void) { compare_folder("mistral", false); }
static void metaspace(void) { compare_folder("metaspace", false); }
static void pieces(void) { compare_folder("pieces", false); }

/* tokenizer.model: scores and no merges, as GGUF files of such models have them. */
static void sentencepiece(void) { compare_folder("sentencepiece", true); }

/* What a text and its continuation say together is what they say apart: nothing is prepended in the middle. */
static void continuations(void)
{
    static const char *const names[] = { "mistral", "metaspace", "pieces", "rules", "sentencepiece", "llama3" };
    static const char first[] = "the cache", more[] = "\n\nWhich layer?";
    for (size_t i = 0; i < KV_COUNT(names); i++) {
        struct kv_vocabulary v;
        struct kv_tokenizer *t;
        char path[128], *text[3] = { NULL };
        int32_t *ids[2], all[64];
        size_t n[2], bytes;
        snprintf(path, sizeof path, "tests/golden/tokenizer/%s", names[i]);
        REQUIRE(kv_vocabulary_from_folder(path, 0, &v, &error) == KV_OK, "%s", error.text);
        REQUIRE(tok_open(&v, &t, &error) == KV_OK, "%s", error.text);
        kv_vocabulary_close(&v);
        const struct tok_part part[2] = { { .special = false }, { .continues = true } };
        REQUIRE(!tok_encode_part(t, first, strlen(first), &part[0], &ids[0], &n[0], &error), "%s", error.text);
        REQUIRE(!tok_encode_part(t, more, strlen(more), &part[1], &ids[1], &n[1], &error), "%s", error.text);
        REQUIRE(n[0] + n[1] < KV_COUNT(all), "%zu tokens", n[0] + n[1]);
        memcpy(all, ids[0], n[0] * sizeof *all);
        memcpy(all + n[0], ids[1], n[1] * sizeof *all);
        tok_decode(t, ids[0], n[0], &text[0], &bytes, &error);
        tok_decode(t, all, n[0] + n[1], &text[1], &bytes, &error);
        tok_decode(t, ids[1], n[1], &text[2], &bytes, &error);
        CHECK(text[0] && text[1] && strstr(text[1], text[0]) == text[1], "%s: %s", names[i], text[1]);
        CHECK(text[2] && *text[2] != ' ', "%s: \"%s\" begins with a space", names[i], text[2]);
        for (size_t k = 0; k < 3; k++) free(text[k]);
        free(ids[0]);
        free(ids[1]);
        tok_close(t);
    }
}

static const struct tap_case cases[] = {
    { "GPT-2's byte-level BPE", gpt2 },
    { "SmolLM's single digits", smollm },
    { "Llama 3's expression, and words that are tokens", llama3 },
    { "Qwen 2's expression and normal form", qwen2 },
    { "Tekken's expression (Mistral Nemo)", tekken },
    { "added tokens with rules, two normalizers, a space in front", rules },
    { "Mistral's and Llama 2's tokenizer.json: Prepend, Replace, byte fallback", mistral },
    { "Metaspace in front of the first word, merges as pairs", metaspace },
    { "Metaspace that splits, unknown tokens", pieces },
    { "SentencePiece by scores", sentencepiece },
    { "nothing is prepended to a continuation", continuations },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
