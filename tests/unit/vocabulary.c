/* Vocabularies of folders: what each file says, what is refused by its name, and files that are cut or odd. */
#include "tests/tap.h"

#include "engine/text/tokenizer.h"
#include "engine/text/vocabulary.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct kv_error error;

static struct kv_string string(const char *s) { return (struct kv_string){ s, strlen(s) }; }

/* ---- one file with a part replaced ---- */

static const char plain[] =
    "{\"added_tokens\":[{\"id\":5,\"content\":\"<s>\",\"special\":true}],\"normalizer\":null,"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"post_processor\":null,"
    "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"unk_token\":null,"
    "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\xC4\xA0\":3,\"\xC4\xA0\x61\":4},\"merges\":[\"a b\",\"\xC4\xA0 a\"]}}";

/* `plain` with the first `from` replaced; released by the caller. */
static char *with(const char *from, const char *to)
{
    const char *at = strstr(plain, from);
    char *text = NULL;
    if (!at || asprintf(&text, "%.*s%s%s", (int)(at - plain), plain, to, at + strlen(from)) < 0) return strdup("?");
    return text;
}

#define PRE "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"

static const struct {
    const char *what, *from, *to;
    enum kv_status want; /* of reading it, or else of opening a tokenizer on it */
    const char *says;
} changes[] = {
    { "nothing", "", "", KV_OK, "" },
    { "no object", "{\"added", "[\"added", KV_BAD_FILE, "JSON" },
    { "no model", "\"model\":", "\"modal\":", KV_BAD_FILE, "no model" },
    { "another model", "\"type\":\"BPE\"", "\"type\":\"Unigram\"", KV_UNSUPPORTED, "Unigram" },
    { "a model without a type", "\"type\":\"BPE\",", "", KV_OK, "" },
    { "a prefix of continuing words", "\"unk_token\"", "\"continuing_subword_prefix\":\"##\",\"unk_token\"",
        KV_UNSUPPORTED, "continuing_subword_prefix" },
    { "a suffix of words", "\"unk_token\"", "\"end_of_word_suffix\":\"</w>\",\"unk_token\"", KV_UNSUPPORTED,
        "end_of_word_suffix" },
    { "no tokens", "\"vocab\":", "\"vacob\":", KV_BAD_FILE, "vocab" },
    { "tokens as a list", "{\"a\":0,\"b\":1,\"ab\":2,\"\xC4\xA0\":3,\"\xC4\xA0\x61\":4}", "[\"a\"]", KV_BAD_FILE,
        "vocab" },
    { "an id that is no number", "\"a\":0", "\"a\":\"0\"", KV_BAD_FILE, "\"a\" an id" },
    { "a negative id", "\"a\":0", "\"a\":-1", KV_BAD_FILE, "\"a\" an id" },
    { "an id with a fraction", "\"a\":0", "\"a\":0.5", KV_BAD_FILE, "\"a\" an id" },
    { "an enormous id", "\"a\":0", "\"a\":1e300", KV_BAD_FILE, "\"a\" an id" },
    { "an id given twice", "\"b\":1", "\"b\":0", KV_BAD_FILE, "one id" },
    { "an added token without content", "\"content\":\"<s>\",", "", KV_BAD_FILE, "no content" },
    { "an added token without an id", "\"id\":5,", "", KV_BAD_FILE, "\"<s>\" an id" },
    { "added tokens as a number", "[{\"id\":5,\"content\":\"<s>\",\"special\":true}]", "7", KV_OK, "" },
    { "no merges", "\"merges\":", "\"mergers\":", KV_BAD_FILE, "merges" },
    { "a merge as a number", "\"a b\"", "7", KV_BAD_FILE, "merge" },
    { "a merge of one", "\"a b\"", "[\"a\"]", KV_BAD_FILE, "merge" },
    { "a merge of three", "\"a b\"", "[\"a\",\"b\",\"a\"]", KV_BAD_FILE, "merge" },
    { "a merge as a pair", "\"a b\"", "[\"a\",\"b\"]", KV_OK, "" },
    { "a merge into no token", "\"a b\"", "\"b a\"", KV_BAD_FILE, "Merge 0" },
    { "a merge without a space", "\"a b\"", "\"ab\"", KV_BAD_FILE, "Merge 0" },
    { "an unknown normalizer", "\"normalizer\":null", "\"normalizer\":{\"type\":\"Nmt\"}", KV_UNSUPPORTED,
        "normalizer Nmt" },
    { "one within a sequence", "\"normalizer\":null",
        "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Lowercase\"}]}",
        KV_UNSUPPORTED, "normalizer Lowercase" },
    { "a normalizer without a type", "\"normalizer\":null", "\"normalizer\":{}", KV_BAD_FILE,
        "normalizer has no type" },
    { "a replacement of an expression", "\"normalizer\":null",
        "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" +\"},\"content\":\" \"}", KV_UNSUPPORTED,
        "Replace" },
    { "an unknown pre-tokenizer", PRE, "{\"type\":\"BertPreTokenizer\"}", KV_UNSUPPORTED,
        "pre-tokenizer BertPreTokenizer" },
    { "a split that merges", PRE,
        "{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"MergedWithNext\"}", KV_UNSUPPORTED,
        "MergedWithNext" },
    { "a split without a pattern", PRE, "{\"type\":\"Split\",\"behavior\":\"Isolated\"}", KV_UNSUPPORTED, "Split" },
    { "an expression that is none", PRE,
        "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"}", KV_UNSUPPORTED,
        "expression" },
    { "an intersection of sets", PRE,
        "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a-z&&b]\"},\"behavior\":\"Isolated\"}", KV_UNSUPPORTED,
        "intersection" },
    { "a set within a set", PRE,
        "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a[b]]\"},\"behavior\":\"Isolated\"}", KV_UNSUPPORTED,
        "set within a set" },
    { "ByteLevel in the middle", PRE,
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\",\"add_prefix_space\":false},{\"type\":"
        "\"Digits\"}]}",
        KV_UNSUPPORTED, "Digits behind ByteLevel" },
    { "Metaspace with another mark", PRE, "{\"type\":\"Metaspace\",\"replacement\":\"_\"}", KV_UNSUPPORTED,
        "Metaspace" },
    { "an unknown decoder", "\"decoder\":{\"type\":\"ByteLevel\"}", "\"decoder\":{\"type\":\"WordPiece\"}",
        KV_UNSUPPORTED, "decoder WordPiece" },
    { "an unknown post-processor", "\"post_processor\":null", "\"post_processor\":{\"type\":\"BertProcessing\"}",
        KV_UNSUPPORTED, "post-processor BertProcessing" },
    { "an empty template", "\"post_processor\":null", "\"post_processor\":{\"type\":\"TemplateProcessing\"}", KV_OK,
        "" },
};

static void changed_files(void)
{
    for (size_t i = 0; i < KV_COUNT(changes); i++) {
        struct kv_vocabulary v;
        struct kv_tokenizer *t = NULL;
        char *text = with(changes[i].from, changes[i].to);
        error.text[0] = 0;
        enum kv_status status = kv_vocabulary_from_memory(string(text), string(""), 0, &v, &error);
        CHECK(!status == (v.token != NULL), "%s: a refused vocabulary has tokens", changes[i].what);
        if (!status) status = tok_open(&v, &t, &error);
        CHECK(status == changes[i].want, "%s: status %d (%s)", changes[i].what, status, error.text);
        CHECK(strstr(error.text, changes[i].says), "%s: %s", changes[i].what, error.text);
        tok_close(t);
        kv_vocabulary_close(&v);
        free(text);
    }
}

/* ASan sees a read behind the end. */
static void cut_files(void)
{
    for (size_t n = 0; n < sizeof plain - 1; n++) {
        struct kv_vocabulary v;
        char *text = malloc(n + 1);
        memcpy(text, plain, n);
        CHECK(kv_vocabulary_from_memory((struct kv_string){ text, n }, string(""), 0, &v, &error) == KV_BAD_FILE,
            "%zu bytes are taken", n);
        free(text);
    }
}

/* Three steps that make a thousand bytes of one each. */
static void growing_steps(void)
{
    char steps[8192], many[1001], *text;
    size_t n = 0;
    struct kv_vocabulary v;
    struct kv_tokenizer *t;
    int32_t *ids;
    memset(many, 'a', 1000);
    many[1000] = 0;
    n += (size_t)sprintf(steps, "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    for (int i = 0; i < 3; i++)
        n += (size_t)sprintf(steps + n,
            "%s{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"%s\"}", i ? "," : "", many);
    strcpy(steps + n, "]}");
    text = with("\"normalizer\":null", steps);
    REQUIRE(kv_vocabulary_from_memory(string(text), string(""), 0, &v, &error) == KV_OK, "%s", error.text);
    REQUIRE(tok_open(&v, &t, &error) == KV_OK, "%s", error.text);
    CHECK(tok_encode(t, "aaaa", 4, false, &ids, &n, &error) != KV_OK && !ids, "a text of 4 GB is made");
    tok_close(t);
    kv_vocabulary_close(&v);
    free(text);
}

/* ---- folders ---- */

static char folder[64];

static void put_file(const char *name, const char *text, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    REQUIRE(file && fwrite(text, 1, n, file) == n && !fclose(file), "cannot write %s", path);
}

static void put(const char *name, const char *text) { put_file(name, text, strlen(text)); }

static void make_folder(void)
{
    strcpy(folder, "/tmp/kvdbg-vocabulary-XXXXXX");
    REQUIRE(mkdtemp(folder), "no folder");
}

static void drop_folder(void)
{
    DIR *dir = opendir(folder);
    char path[400];
    for (struct dirent *e; dir && (e = readdir(dir));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (*e->d_name != '.' && remove(path)) rmdir(path);
    }
    if (dir) closedir(dir);
    rmdir(folder);
}

static bool same(struct kv_string s, const char *text)
{
    return s.length == strlen(text) && !memcmp(s.text, text, s.length);
}

static void what_files_say(void)
{
    struct kv_vocabulary v;
    make_folder();
    REQUIRE(
        kv_vocabulary_from_folder(folder, 7, &v, &error) == KV_OK && !v.n_token, "an empty folder: %s", error.text);
    put("tokenizer.json", plain);
    REQUIRE(kv_vocabulary_from_folder(folder, 8, &v, &error) == KV_OK, "%s", error.text);
    CHECK(v.n_token == 8 && !v.token[6].length && v.bos == -1 && v.eos == -1 && !v.add_bos, "defaults");
    CHECK(same(v.kind, "gpt2") && same(v.token[2], "ab") && v.token_type[5] == 3 && v.token_type[7] == 5, "tokens");
    kv_vocabulary_close(&v);
    put("tokenizer_config.json", "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"b\",\"add_bos_token\":true,"
                                 "\"chat_template\":[{\"name\":\"tool\",\"template\":\"x\"},"
                                 "{\"name\":\"default\",\"template\":\"{{ 1 }}\"}]}");
    put("generation_config.json", "{\"eos_token_id\":[1,2,99,-1]}");
    REQUIRE(kv_vocabulary_from_folder(folder, 8, &v, &error) == KV_OK, "%s", error.text);
    CHECK(v.bos == 5 && v.add_bos && v.eos == 1, "begin and ends");
    CHECK(same(v.chat_template, "{{ 1 }}"), "the template of the config");
    kv_vocabulary_close(&v);
    put("chat_template.jinja", "{{ 2 }}");
    REQUIRE(kv_vocabulary_from_folder(folder, 8, &v, &error) == KV_OK, "%s", error.text);
    CHECK(same(v.chat_template, "{{ 2 }}"), "the template of a file of its own");
    kv_vocabulary_close(&v);
    CHECK(kv_vocabulary_from_folder(folder, 5, &v, &error) == KV_BAD_FILE && strstr(error.text, "0 to 4"), "%s",
        error.text);
    put("tokenizer_config.json", "{");
    CHECK(kv_vocabulary_from_folder(folder, 8, &v, &error) == KV_BAD_FILE &&
              strstr(error.text, "tokenizer_config.json"),
        "%s", error.text);
    drop_folder();
}

static void odd_files(void)
{
    struct kv_vocabulary v;
    char path[128];
    make_folder();
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    REQUIRE(!mkfifo(path, 0600), "no pipe");
    CHECK(kv_vocabulary_from_folder(folder, 0, &v, &error) == KV_IO, "a pipe: %s", error.text);
    unlink(path);
    REQUIRE(!mkdir(path, 0700), "no folder");
    CHECK(kv_vocabulary_from_folder(folder, 0, &v, &error) == KV_IO, "a folder: %s", error.text);
    rmdir(path);
    REQUIRE(!symlink("tokenizer.json", path), "no link");
    CHECK(kv_vocabulary_from_folder(folder, 0, &v, &error) == KV_IO, "a link to itself: %s", error.text);
    unlink(path);
    put("tokenizer.json", "");
    CHECK(kv_vocabulary_from_folder(folder, 0, &v, &error) == KV_BAD_FILE, "an empty file: %s", error.text);
    drop_folder();
    CHECK(kv_vocabulary_from_folder("/nowhere/at/all", 0, &v, &error) == KV_OK && !v.n_token, "no folder");
}

/* ---- tokenizer.model ---- */

static char *model;
static size_t n_model;

static void load_model(void)
{
    FILE *file = fopen("tests/golden/tokenizer/sentencepiece/tokenizer.model", "rb");
    REQUIRE(file, "no golden model");
    free(model);
    model = malloc(1 << 16);
    n_model = fread(model, 1, 1 << 16, file);
    fclose(file);
}

/* Whatever is left of it, or in it, is read or refused with a sentence. */
static void cut_models(void)
{
    struct kv_vocabulary v;
    struct kv_tokenizer *t;
    load_model();
    make_folder();
    uint32_t random = 7;
    for (size_t i = 0; i < 400; i++) {
        size_t n = i < 200 ? i * n_model / 200 : n_model;
        for (int k = 0; k < 3 && i >= 200; k++) {
            random = random * 1664525 + 1013904223;
            size_t at = i < 300 ? random % n_model : n_model - 1 - random % 200;
            model[at] = (char)(random >> 24);
        }
        put_file("tokenizer.model", model, n);
        error.text[0] = 0;
        enum kv_status status = kv_vocabulary_from_folder(folder, 0, &v, &error);
        CHECK(!status || *error.text, "cut %zu: no sentence", i);
        CHECK(i >= 200 || status != KV_OK, "cut %zu is taken", i);
        if (!status && !tok_open(&v, &t, &error)) tok_close(t);
        kv_vocabulary_close(&v);
    }
    drop_folder();
}

static void models(void)
{
    struct kv_vocabulary v;
    load_model();
    make_folder();
    put_file("tokenizer.model", model, n_model);
    put("tokenizer_config.json",
        "{\"add_bos_token\":false,\"eos_token\":\"<end>\",\"added_tokens_decoder\":"
        "{\"1100\":{\"content\":\"<end>\",\"special\":true},\"1\":{\"content\":\"<s>\",\"special\":true}}}");
    REQUIRE(kv_vocabulary_from_folder(folder, 1102, &v, &error) == KV_OK, "%s", error.text);
    CHECK(v.n_token == 1102 && same(v.kind, "llama") && v.add_space_prefix && v.byte_fallback,
        "the model's own facts");
    CHECK(v.unknown == 0 && v.bos == 1 && v.eos == 1100 && !v.add_bos, "ids");
    CHECK(same(v.token[1100], "<end>") && v.token_type[1100] == 3 && v.added[1100] == KV_ADDED, "an added token");
    kv_vocabulary_close(&v);
    CHECK(kv_vocabulary_from_folder(folder, 1000, &v, &error) == KV_BAD_FILE && strstr(error.text, "1100"), "%s",
        error.text);
    drop_folder();
    free(model);
    model = NULL;
}

static const struct tap_case cases[] = {
    { "what is not read is refused by its name", changed_files },
    { "files cut anywhere", cut_files },
    { "steps that make text grow without end", growing_steps },
    { "what each file of a folder says", what_files_say },
    { "files that are none", odd_files },
    { "models cut or changed anywhere", cut_models },
    { "models and their added tokens", models },
};

int main(int argc, char **argv) { return tap_main(argc, argv, cases, KV_COUNT(cases)); }
