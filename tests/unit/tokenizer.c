/* Tokenizer and chat prompts: the golden ids of the `tokenizers` library on the real model, and properties that
 * must hold for any text on a small vocabulary. */
#include "tests/tap.h"
#include "tests/unit/escapes.h"

#include "engine/text/chat.h"
#include "tests/fuzz/tokenizer_vocabulary.h"

#include <stdlib.h>
#include <time.h>

#define MODEL "models/smollm2-135m-instruct-q4_1.gguf"

static struct kv_error error;
static struct small_vocabulary small;
static uint64_t random_state;

static uint32_t random_next(uint32_t bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    return (uint32_t)(random_state >> 33) % bound;
}

static struct kv_tokenizer *open_small(void)
{
    struct kv_tokenizer *t = NULL;
    small_vocabulary_make(&small);
    random_state = 3;
    CHECK(tok_open(&small.v, &t, &error) == KV_OK, "%s", error.text);
    return t;
}

/* Random text of pieces that a tokenizer finds hard, and of plain bytes. */
static size_t random_text(char *text, size_t room)
{
    static const char *const piece[] = { "hello", " world", "aaaaaaaaaaaa", "  ", "\n\n", " \t", "1", " 12", "é",
        "'s", "don't", "\xF0\x9F\x98\x80", "\xE2\x80\x8D", "\xC3", "\xE2\x82", "\xF0\x9F\x98", "\xED\xA0\x80",
        "\xC0\xAF", "\xFF", "<|im_end|>", "<|im_start|>", "<|im_end|>!", "<|endoftext|>", "<think>", "<|im_",
        "<unused>", "\xE3\x80\x80", "...", "low", "ow" };
    size_t n = 0;
    for (uint32_t count = random_next(24); count; count--) {
        uint32_t pick = random_next(KV_COUNT(piece) * 2);
        if (n + 16 > room) break;
        if (pick >= KV_COUNT(piece)) {
            text[n++] = (char)random_next(256);
            continue;
        }
        memcpy(text + n, piece[pick], strlen(piece[pick]));
        n += strlen(piece[pick]);
    }
    return n;
}

/* ---- golden files ---- */

static size_t read_ids(const char *field, int32_t *ids, size_t room)
{
    size_t n = 0;
    char *end;
    for (long id = strtol(field, &end, 10); end != field && n < room; id = strtol(field, &end, 10)) {
        ids[n++] = (int32_t)id;
        field = end;
    }
    return n;
}

static bool same_ids(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b)
{
    return n_a == n_b && (!n_a || !memcmp(a, b, n_a * sizeof *a));
}

struct golden {
    FILE *file;
    struct kv_model *model;
    struct kv_tokenizer *t, *gpt2; /* by the file's pre-tokenizer, and by GPT-2's */
    char line[1 << 16];
    int32_t want[8192];
    int number;
};

static struct golden golden;

static const char *golden_open(const char *path)
{
    FILE *model = fopen(MODEL, "rb");
    if (!model) return "the model is not there (make model)";
    fclose(model);
    golden.number = 0;
    golden.file = fopen(path, "r");
    CHECK(golden.file, "cannot open %s", path);
    CHECK(kv_model_open(MODEL, &golden.model, &error) == KV_OK, "%s", error.text);
    if (!golden.model || !golden.file) return NULL;
    struct kv_vocabulary v = golden.model->vocabulary;
    CHECK(tok_open(&v, &golden.t, &error) == KV_OK, "%s", error.text);
    v.pre = small_string("gpt-2");
    CHECK(tok_open(&v, &golden.gpt2, &error) == KV_OK, "%s", error.text);
    return NULL;
}

static void golden_close(void)
{
    if (golden.file) fclose(golden.file);
    tok_close(golden.t);
    tok_close(golden.gpt2);
    kv_model_close(golden.model);
    memset(&golden, 0, sizeof golden);
}

/* The next line's fields; false at the end. */
static bool golden_line(char **field, int fields)
{
    if (!golden.t || !golden.gpt2) return false;
    do {
        if (!fgets(golden.line, sizeof golden.line, golden.file)) return false;
        golden.number++;
    } while (golden.line[0] == '#');
    golden.line[strcspn(golden.line, "\n")] = 0;
    char *rest = golden.line;
    for (int i = 0; i < fields; i++) field[i] = rest ? strsep(&rest, "\t") : golden.line + strlen(golden.line);
    return true;
}

static void golden_texts(void)
{
    const char *absent = golden_open("tests/golden/tokenizer.txt");
    if (absent) SKIP(absent);
    char *field[3], *back;
    size_t n, bytes;
    int equal = 0;
    while (golden_line(field, 3)) {
        struct kv_string s = unescape(field[1]);
        size_t n_want = read_ids(field[2], golden.want, KV_COUNT(golden.want));
        int32_t *ids;
        const struct kv_tokenizer *t = *field[0] == 'g' ? golden.gpt2 : golden.t;
        enum kv_status status = tok_encode(t, s.text, s.length, *field[0] == 's', &ids, &n, &error);
        if (*field[0] == 'x') {
            CHECK(status == KV_UNSUPPORTED, "line %d: status %d", golden.number, status);
        } else if (status) {
            CHECK(!status, "line %d: %s", golden.number, error.text);
        } else {
            CHECK(same_ids(ids, n, golden.want, n_want), "line %d: %zu ids, want %zu; text %.60s", golden.number, n,
                n_want, s.text);
            CHECK(tok_decode(t, ids, n, &back, &bytes, &error) == KV_OK, "%s", error.text);
            CHECK(back && bytes == s.length && !memcmp(back, s.text, bytes), "line %d does not decode",
                golden.number);
            free(back);
        }
        equal += !tap_state.failed;
        free(ids);
    }
    CHECK(equal >= 3200, "only %d strings", equal);
    golden_close();
}

static void golden_chats(void)
{
    const char *absent = golden_open("tests/golden/tokenizer_chat.txt");
    if (absent) SKIP(absent);
    char *field[4];
    int equal = 0;
    while (golden_line(field, 4)) {
        struct chat_prompt prompt = { .context = unescape(field[1]) };
        struct chat_ids got;
        if (strcmp(field[0], "-")) prompt.system = unescape(field[0]);
        if (strcmp(field[2], "-")) prompt.question = unescape(field[2]);
        size_t n_want = read_ids(field[3], golden.want, KV_COUNT(golden.want));
        CHECK(chat_encode(golden.t, &golden.model->vocabulary, &prompt, &got, &error) == KV_OK, "%s", error.text);
        CHECK(same_ids(got.ids, got.n, golden.want, n_want), "line %d: %zu ids, want %zu", golden.number, got.n,
            n_want);
        CHECK(got.n_context > 0 && (got.n_context < got.n) == (prompt.question.text != NULL),
            "%zu of %zu tokens are context", got.n_context, got.n);
        equal += !tap_state.failed;
        free(got.ids);
    }
    CHECK(equal >= 40, "only %d prompts", equal);
    golden_close();
}

/* ---- properties ---- */

static void round_trip(void)
{
    struct kv_tokenizer *t = open_small();
    char text[512], *back;
    int32_t *ids;
    size_t n, bytes;
    for (int i = 0; i < 20000 && t; i++) {
        size_t length = random_text(text, sizeof text);
        bool special = i & 1;
        REQUIRE(tok_encode(t, text, length, special, &ids, &n, &error) == KV_OK, "%s", error.text);
        REQUIRE(tok_decode(t, ids, n, &back, &bytes, &error) == KV_OK, "%s", error.text);
        CHECK(bytes == length && !memcmp(text, back, bytes), "text %d: %zu bytes became %zu", i, length, bytes);
        for (size_t k = 0; k < n && !special; k++) {
            CHECK(!tok_is_control(t, ids[k]), "text %d made the special token %d", i, ids[k]);
        }
        free(ids);
        free(back);
    }
    tok_close(t);
}

/* Names of the tokens that the small vocabulary gives, with bars between them. */
static void words_by_rule(void)
{
    static const struct {
        const char *pre, *text, *want;
    } row[] = {
        { "smollm", "a  12", "a|\u0120\u0120|1|2" },
        { "gpt-2", "a  12", "a|\u0120|\u0120|12" },
        { "smollm", "  world", "\u0120|\u0120world" },
        { "gpt-2", "12a12", "12|a|12" },
        { "smollm", "\n\n1", "\u010A\u010A|1" },
        { "gpt-2", "\n\n1", "\u010A|\u010A|1" },
        { "smollm", "  \xFF  ", "\u0120\u0120|\u00FF|\u0120\u0120" },
    };
    for (size_t i = 0; i < KV_COUNT(row); i++) {
        struct kv_tokenizer *t;
        int32_t *ids;
        size_t n, used = 0;
        char got[128] = "";
        small_vocabulary_make(&small);
        small.v.pre = small_string(row[i].pre);
        REQUIRE(tok_open(&small.v, &t, &error) == KV_OK, "%s", error.text);
        REQUIRE(
            tok_encode(t, row[i].text, strlen(row[i].text), false, &ids, &n, &error) == KV_OK, "%s", error.text);
        for (size_t k = 0; k < n; k++)
            used += (size_t)snprintf(got + used, sizeof got - used, "%s%s", k ? "|" : "", small.token[ids[k]].text);
        CHECK(!strcmp(got, row[i].want), "%s, row %zu: %s, want %s", row[i].pre, i, got, row[i].want);
        free(ids);
        tok_close(t);
    }
}

static int32_t small_id(const char *text)
{
    for (int32_t id = 0; id < (int32_t)SMALL_TOKENS; id++) {
        if (!strcmp(small.token[id].text, text)) return id;
    }
    return -1;
}

/* The definition, in quadratic time: join the leftmost of the best-ranked neighbors until none can be joined. */
static size_t merge_slowly(int32_t *id, size_t n)
{
    char joined[64];
    for (;;) {
        size_t best = SMALL_MERGES, at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            snprintf(joined, sizeof joined, "%s %s", small.token[id[i]].text, small.token[id[i + 1]].text);
            for (size_t rank = 0; rank < best; rank++) {
                if (strcmp(joined, small_merges[rank])) continue;
                best = rank;
                at = i;
            }
        }
        if (best == SMALL_MERGES) return n;
        id[at] = (int32_t)(256 + best);
        memmove(id + at + 1, id + at + 2, (n - at - 2) * sizeof *id);
        n--;
    }
}

static void merges_by_definition(void)
{
    struct kv_tokenizer *t = open_small();
    int32_t want[64], *ids;
    char text[64];
    size_t n;
    for (int i = 0; i < 20000 && t; i++) {
        size_t length = 1 + random_next(60);
        for (size_t k = 0; k < length; k++) want[k] = text[k] = "helowrdaa"[random_next(9)];
        size_t n_want = merge_slowly(want, length);
        REQUIRE(tok_encode(t, text, length, false, &ids, &n, &error) == KV_OK, "%s", error.text);
        CHECK(same_ids(ids, n, want, n_want), "\"%.*s\": %zu ids, want %zu", (int)length, text, n, n_want);
        free(ids);
    }
    tok_close(t);
}

/* Well-formed by decoding and encoding again, which is not how the engine judges it. */
static bool well_formed(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        unsigned char c = (unsigned char)text[i];
        size_t n = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
        uint32_t point = n == 1 ? c : c & (0x7Fu >> n);
        if (!n || n > bytes - i) return false;
        for (size_t k = 1; k < n; k++) {
            if (((unsigned char)text[i + k] & 0xC0) != 0x80) return false;
            point = point << 6 | ((unsigned char)text[i + k] & 0x3F);
        }
        size_t shortest = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
        if (n != shortest || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return false;
        i += n;
    }
    return true;
}

/* Decodes by stream into `out`, checking that every part is well-formed; returns the bytes. */
static size_t stream_all(const struct kv_tokenizer *t, const int32_t *ids, size_t n, char *out)
{
    struct tok_stream stream = { 0 };
    const char *part;
    size_t bytes, total = 0;
    for (size_t i = 0; i <= n; i++) {
        enum kv_status status = i < n ? tok_stream_put(&stream, t, ids[i], &part, &bytes, &error)
                                      : tok_stream_flush(&stream, &part, &bytes, &error);
        CHECK(!status, "%s", error.text);
        CHECK(well_formed(part, bytes), "part %zu is not well-formed UTF-8", i);
        memcpy(out + total, part, bytes);
        total += bytes;
    }
    tok_stream_close(&stream);
    return total;
}

static void streams(void)
{
    struct kv_tokenizer *t = open_small();
    char text[512], out[2048], *back;
    int32_t *ids;
    size_t n, bytes;
    int valid = 0;
    for (int i = 0; i < 20000 && t; i++) {
        size_t length = random_text(text, sizeof text);
        REQUIRE(tok_encode(t, text, length, i & 1, &ids, &n, &error) == KV_OK, "%s", error.text);
        size_t streamed = stream_all(t, ids, n, out);
        REQUIRE(tok_decode(t, ids, n, &back, &bytes, &error) == KV_OK, "%s", error.text);
        if (well_formed(text, length)) {
            valid++;
            CHECK(
                streamed == bytes && !memcmp(out, back, bytes), "text %d: %zu bytes, want %zu", i, streamed, bytes);
        }
        free(ids);
        free(back);
    }
    CHECK(valid > 1000, "only %d valid texts", valid);
    tok_close(t);
}

/* The examples of Unicode 14, tables 3-8 to 3-11: one U+FFFD for each maximal part. */
static void replacements(void)
{
    static const struct {
        const char *bytes, *want;
    } row[] = {
        { "\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", "????????A" },
        { "\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", "????????A" },
        { "\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", "?????A??B" },
        { "\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "????A" },
        { "\x41\xE2\x82", "A?" },
    };
    struct kv_tokenizer *t = open_small();
    for (size_t i = 0; i < KV_COUNT(row) && t; i++) {
        int32_t ids[16];
        char out[128], want[128];
        size_t n = strlen(row[i].bytes), n_want = 0;
        for (size_t k = 0; k < n; k++) ids[k] = (unsigned char)row[i].bytes[k];
        for (const char *p = row[i].want; *p; p++) {
            n_want += (size_t)sprintf(want + n_want, "%.*s", *p == '?' ? 3 : 1, *p == '?' ? "\uFFFD" : p);
        }
        out[stream_all(t, ids, n, out)] = 0;
        CHECK(!strcmp(out, want), "row %zu: \"%s\", want \"%s\"", i, out, want);
    }
    tok_close(t);
}

static void specials(void)
{
    static const char text[] = "a<|im_end|>!<|im_end|><think><unused>";
    struct kv_tokenizer *t = open_small();
    REQUIRE(t, "no tokenizer");
    int32_t *ids, want[] = { 'a', small_id("<|im_end|>!"), small_id("<|im_end|>"), small_id("<think>"), '<' };
    size_t n;
    REQUIRE(tok_encode(t, text, strlen(text), true, &ids, &n, &error) == KV_OK, "%s", error.text);
    CHECK(n == 4 + strlen("<unused>") && same_ids(ids, 5, want, 5), "%zu ids, the second is %d", n, ids[1]);
    CHECK(tok_is_control(t, want[2]) && !tok_is_control(t, want[3]) && !tok_is_control(t, 'a'), "control");
    CHECK(tok_is_end(t, want[2]) && tok_is_end(t, small_id("<|endoftext|>")), "ends");
    CHECK(!tok_is_end(t, want[1]) && !tok_is_end(t, small_id("<|im_start|>")), "no ends");
    CHECK(!tok_is_end(t, -1) && !tok_is_control(t, (int32_t)SMALL_TOKENS), "ids outside the vocabulary");
    CHECK(!tok_piece(t, -1, &n) && !n && !tok_piece(t, (int32_t)SMALL_TOKENS, &n), "pieces outside it");
    tok_close(t);
    small.v.eos = 'z';
    REQUIRE(tok_open(&small.v, &t, &error) == KV_OK, "%s", error.text);
    CHECK(tok_is_end(t, 'z'), "the file's own end token");
    tok_close(t);
    free(ids);
}

static size_t controls_in(const struct kv_tokenizer *t, const struct chat_ids *chat)
{
    size_t n = 0;
    for (size_t i = 0; i < chat->n; i++) n += tok_is_control(t, chat->ids[i]);
    return n;
}

static void no_injection(void)
{
    struct kv_tokenizer *t = open_small();
    char context[512], question[512], system[512];
    for (int i = 0; i < 5000 && t; i++) {
        struct chat_prompt prompt = { { system, random_text(system, sizeof system) },
            { context, random_text(context, sizeof context) },
            { question, random_text(question, sizeof question) } };
        struct chat_ids chat;
        if (i % 2) prompt.question.text = NULL;
        REQUIRE(chat_encode(t, &small.v, &prompt, &chat, &error) == KV_OK, "%s", error.text);
        CHECK(controls_in(t, &chat) == 5, "prompt %d has %zu control tokens, not 5", i, controls_in(t, &chat));
        free(chat.ids);
    }
    tok_close(t);
}

static void chat_renders(void)
{
    static const char want[] =
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhello world\n\n12?<|im_end|>"
        "\n<|im_start|>assistant\n";
    struct kv_tokenizer *t = open_small();
    struct chat_prompt prompt = { .context = small_string("hello world"), .question = small_string("12?") };
    struct chat_ids chat;
    char *text;
    size_t bytes;
    REQUIRE(t && chat_encode(t, &small.v, &prompt, &chat, &error) == KV_OK, "%s", error.text);
    REQUIRE(tok_decode(t, chat.ids, chat.n, &text, &bytes, &error) == KV_OK, "%s", error.text);
    CHECK(!strcmp(text, want), "%s", text);
    free(text);
    REQUIRE(tok_decode(t, chat.ids, chat.n_context, &text, &bytes, &error) == KV_OK, "%s", error.text);
    CHECK(bytes == (size_t)(strstr(want, "\n\n12?") - want), "the context ends at byte %zu", bytes);
    free(text);
    free(chat.ids);
    small.v.chat_template = small_string("[INST] {{ message }} [/INST]");
    CHECK(chat_encode(t, &small.v, &prompt, &chat, &error) == KV_UNSUPPORTED && !chat.ids, "another template");
    small.v.chat_template.length = 0;
    CHECK(chat_encode(t, &small.v, &prompt, &chat, &error) == KV_NOT_FOUND, "no template");
    tok_close(t);
}

static void long_words(void)
{
    static const char *const unit[] = { "a", " ", "\n", "1", ".", "he", "\xF0\x9F\x98\x80", "\xFF", "<|im_end|>" };
    struct kv_tokenizer *t = open_small();
    char *text = malloc(1 << 20);
    for (size_t i = 0; i < KV_COUNT(unit) && t && text; i++) {
        size_t length = strlen(unit[i]), bytes = (1 << 20) / length * length, n;
        int32_t *ids;
        for (size_t k = 0; k < bytes; k++) text[k] = unit[i][k % length];
        clock_t start = clock(); /* of this process: the machine may be busy */
        REQUIRE(tok_encode(t, text, bytes, true, &ids, &n, &error) == KV_OK, "%s", error.text);
        double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        CHECK(seconds < 2, "1 MB of \"%s\" took %.1f s", unit[i], seconds);
        if (i == 0) CHECK(n == (1 << 20) / 8 && ids[0] == small_id("aaaaaaaa"), "%zu tokens", n);
        free(ids);
    }
    free(text);
    tok_close(t);
}

static void bad_requests(void)
{
    struct kv_tokenizer *t = open_small();
    int32_t *ids, outside[] = { 'a', (int32_t)SMALL_TOKENS };
    struct tok_stream stream = { 0 };
    const char *part;
    char *text;
    size_t n;
    REQUIRE(t, "no tokenizer");
    CHECK(tok_encode(t, "", 0, true, &ids, &n, &error) == KV_OK && n == 0, "empty text");
    free(ids);
    CHECK(tok_encode(t, "a", (size_t)1 << 40, true, &ids, &n, &error) == KV_BAD_ARG && !ids, "a text of 1 TiB");
    CHECK(tok_decode(t, outside, 2, &text, &n, &error) == KV_BAD_ARG && !text, "an id outside the vocabulary");
    CHECK(tok_stream_put(&stream, t, -1, &part, &n, &error) == KV_BAD_ARG && !n, "the same in a stream");
    tok_stream_close(&stream);
    tok_close(t);
    small.token['q'].length = 0;
    REQUIRE(tok_open(&small.v, &t, &error) == KV_OK, "%s", error.text);
    CHECK(tok_encode(t, "aq", 2, true, &ids, &n, &error) == KV_UNSUPPORTED && strstr(error.text, "0x71,"), "%s",
        error.text);
    tok_close(t);
}

/* ---- vocabularies that are odd or hostile ---- */

static void no_tokens(void) { small.v.n_token = 0; }
static void no_merges(void) { small.v.n_merge = 0; }
static void no_types(void) { small.v.token_type = NULL; }
static void same_token(void) { small.token['x'] = small.token['y']; }
static void control(void) { small.type[small_id("hello")] = 3; }
static void odd_types(void) { memset(small.type, 0x7F, sizeof small.type); }
static void odd_ids(void) { small.v.eos = 1 << 30, small.v.bos = -7; }

/* Either a function spoils the vocabulary, or one of its strings is replaced (NULL = an empty one). */
static const struct {
    const char *what;
    enum kv_status want;
    void (*spoil)(void);
    struct kv_string *where;
    const char *text;
} odd[] = {
    { "another kind", KV_UNSUPPORTED, NULL, &small.v.kind, "bert" },
    { "no kind", KV_UNSUPPORTED, NULL, &small.v.kind, NULL },
    { "unknown pre-tokenizer", KV_UNSUPPORTED, NULL, &small.v.pre, "smoll" },
    { "no pre-tokenizer", KV_UNSUPPORTED, NULL, &small.v.pre, NULL },
    { "no tokens", KV_BAD_FILE, no_tokens, NULL, NULL },
    { "no merges", KV_OK, no_merges, NULL, NULL },
    { "no types", KV_OK, no_types, NULL, NULL },
    { "merge without space", KV_BAD_FILE, NULL, &small.merge[3], "hello" },
    { "merge without left", KV_BAD_FILE, NULL, &small.merge[3], " hello" },
    { "merge without right", KV_BAD_FILE, NULL, &small.merge[3], "hello " },
    { "empty merge", KV_BAD_FILE, NULL, &small.merge[3], NULL },
    { "merge into no token", KV_BAD_FILE, NULL, &small.merge[3], "hell q" },
    { "merge of three", KV_BAD_FILE, NULL, &small.merge[3], "he l lo" },
    { "merge given twice", KV_OK, NULL, &small.merge[3], "l l" },
    { "token given twice", KV_OK, same_token, NULL, NULL },
    { "empty token", KV_OK, NULL, &small.token['x'], NULL },
    { "token that is not UTF-8", KV_OK, NULL, &small.token['x'], "\xC3" },
    { "token outside the alphabet", KV_OK, NULL, &small.token['x'], "\u4E00" },
    { "merge into a control token", KV_OK, control, NULL, NULL },
    { "absurd token types", KV_OK, odd_types, NULL, NULL },
    { "absurd special ids", KV_OK, odd_ids, NULL, NULL },
};

static void odd_vocabularies(void)
{
    for (size_t i = 0; i < KV_COUNT(odd); i++) {
        struct kv_tokenizer *t;
        int32_t *ids;
        size_t n;
        small_vocabulary_make(&small);
        if (odd[i].spoil) odd[i].spoil();
        if (odd[i].where) *odd[i].where = odd[i].text ? small_string(odd[i].text) : (struct kv_string){ NULL, 0 };
        error.text[0] = 0;
        enum kv_status status = tok_open(&small.v, &t, &error);
        CHECK(status == odd[i].want, "%s: status %d, want %d (%s)", odd[i].what, status, odd[i].want, error.text);
        CHECK(!status == (t != NULL) && (status == KV_OK || strlen(error.text) > 20), "%s", odd[i].what);
        if (!t) continue;
        status = tok_encode(t, "hello xyz", 9, false, &ids, &n, &error);
        CHECK(status == KV_OK || status == KV_UNSUPPORTED, "%s: %s", odd[i].what, error.text);
        for (size_t k = 0; k < n; k++) CHECK(!tok_is_control(t, ids[k]), "%s: a control token", odd[i].what);
        free(ids);
        tok_close(t);
    }
}

static const struct tap_case cases[] = {
    { "ids of the golden texts", golden_texts },
    { "ids of the golden chats", golden_chats },
    { "words by the rules of the pre-tokenizers", words_by_rule },
    { "every byte string survives", round_trip },
    { "merges follow the definition", merges_by_definition },
    { "streams are well-formed UTF-8", streams },
    { "one replacement for each ill-formed part", replacements },
    { "special tokens, longest first", specials },
    { "no text injects a control token", no_injection },
    { "chat prompts render the template", chat_renders },
    { "long words take no quadratic time", long_words },
    { "bad requests are refused", bad_requests },
    { "odd and hostile vocabularies", odd_vocabularies },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
