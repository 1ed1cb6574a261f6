/* Reading a folder's tokenizer files. tokenizer.json holds the model (tokens, merges), the added tokens and the steps;
 * tokenizer_config.json says which tokens begin and end a text and how a chat is written. cJSON parses. */
#include "engine/text/vocabulary_parts.h"

#include "engine/text/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void kv_vocabulary_close(struct kv_vocabulary *v)
{
    free(v->token);
    free((void *)v->token_type);
    free((void *)v->score);
    free(v->merge);
    free(v->step);
    free(v->added);
    if (v->owner) arena_close(v->owner);
    free(v->owner);
    *v = (struct kv_vocabulary){ .bos = -1, .eos = -1, .unknown = -1 };
}

#ifdef KV_HAVE_CJSON

enum { TOKENS_MAX = 1 << 20 }; /* where the embedding does not say how many there are */

static const char file_name[] = "tokenizer.json";

const char *vocabulary_text(const cJSON *object, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

bool vocabulary_flag(const cJSON *object, const char *key, bool otherwise)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsBool(value) ? cJSON_IsTrue(value) : otherwise;
}

struct kv_string vocabulary_keep(struct vocabulary_reader *r, const char *text)
{
    size_t n = strlen(text);
    const char *copy = arena_copy(r->arena, text, n);
    if (!copy) kv_fail(r->err, KV_NO_MEMORY, "No memory for the strings of the vocabulary.");
    return (struct kv_string){ copy, copy ? n : 0 };
}

static enum kv_status bad(struct vocabulary_reader *r, const char *what)
{
    return kv_fail(r->err, KV_BAD_FILE, "%s is malformed: %s.", file_name, what);
}

/* A whole number in [0, limit), or -1. */
static int id_of(const cJSON *value, int limit)
{
    double x = cJSON_IsNumber(value) ? value->valuedouble : -1;
    return x >= 0 && x < limit && x == floor(x) ? (int)x : -1;
}

/* ---- tokens ---- */

static enum kv_status no_such_id(struct vocabulary_reader *r, const char *token)
{
    return kv_fail(r->err, KV_BAD_FILE, "%s gives the token \"%.40s\" an id that is not from 0 to %d.", file_name,
        token, r->v->n_token - 1);
}

static int count_tokens(const cJSON *vocab, const cJSON *added)
{
    const cJSON *item;
    int n = 0;
    cJSON_ArrayForEach(item, vocab) { n = (int)kv_max((size_t)n, (size_t)(id_of(item, TOKENS_MAX) + 1)); }
    cJSON_ArrayForEach(item, added)
    {
        n = (int)kv_max((size_t)n, (size_t)(id_of(cJSON_GetObjectItemCaseSensitive(item, "id"), TOKENS_MAX) + 1));
    }
    return n;
}

static bool is_byte(const char *s)
{
    int end = 0;
    unsigned value;
    return sscanf(s, "<0x%2X>%n", &value, &end) == 1 && end == 6 && !s[6];
}

static enum kv_status read_vocab(struct vocabulary_reader *r, const cJSON *vocab, int32_t *type)
{
    struct kv_vocabulary *v = r->v;
    const cJSON *item;
    if (!cJSON_IsObject(vocab)) return bad(r, "model.vocab is no object");
    cJSON_ArrayForEach(item, vocab)
    {
        int id = id_of(item, v->n_token);
        if (id < 0) return no_such_id(r, item->string);
        if (v->token[id].text) return bad(r, "two tokens have one id");
        v->token[id] = vocabulary_keep(r, item->string);
        if (!v->token[id].text) return r->err->code;
        type[id] = !r->byte_level && v->byte_fallback && is_byte(item->string) ? 6 : 1;
    }
    return KV_OK;
}

/* One added token: an object with its content and rules. */
static enum kv_status add_token(struct vocabulary_reader *r, const cJSON *item, int id, int32_t *type)
{
    static const struct {
        const char *key;
        uint8_t bit;
    } rules[] = { { "lstrip", KV_ADDED_LSTRIP }, { "rstrip", KV_ADDED_RSTRIP }, { "single_word", KV_ADDED_WORD },
        { "normalized", KV_ADDED_NORMALIZED } };
    struct kv_vocabulary *v = r->v;
    const char *text = vocabulary_text(item, "content");
    if (!text) return bad(r, "an added token has no content");
    if (id < 0) return no_such_id(r, text);
    v->token[id] = vocabulary_keep(r, text);
    if (!v->token[id].text) return r->err->code;
    type[id] = vocabulary_flag(item, "special", false) ? 3 : 4;
    v->added[id] = KV_ADDED;
    for (size_t i = 0; i < KV_COUNT(rules); i++)
        if (vocabulary_flag(item, rules[i].key, false)) v->added[id] |= rules[i].bit;
    return KV_OK;
}

static enum kv_status read_added(struct vocabulary_reader *r, const cJSON *list, int32_t *type)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        int id = id_of(cJSON_GetObjectItemCaseSensitive(item, "id"), r->v->n_token);
        enum kv_status status = add_token(r, item, id, type);
        if (status) return status;
    }
    return KV_OK;
}

/* "a b", or ["a", "b"] where the tokens themselves may hold spaces. */
static enum kv_status read_merges(struct vocabulary_reader *r, const cJSON *list)
{
    struct kv_vocabulary *v = r->v;
    const cJSON *item;
    if (!cJSON_IsArray(list)) return bad(r, "model.merges is no list");
    v->merge = kv_alloc((size_t)cJSON_GetArraySize(list), sizeof *v->merge);
    if (!v->merge) return kv_fail(r->err, KV_NO_MEMORY, "No memory for the merges of the vocabulary.");
    cJSON_ArrayForEach(item, list)
    {
        struct kv_string *merge = &v->merge[v->n_merge++];
        if (cJSON_IsString(item)) {
            *merge = vocabulary_keep(r, item->valuestring);
        } else {
            const char *a = cJSON_GetStringValue(cJSON_GetArrayItem(item, 0));
            const char *b = cJSON_GetStringValue(cJSON_GetArrayItem(item, 1));
            if (!a || !b || cJSON_GetArrayItem(item, 2)) return bad(r, "a merge is not two tokens");
            size_t left = strlen(a), right = strlen(b);
            char *text = arena_take(r->arena, left + right + 2, 1);
            if (text) memcpy(text, a, left), memcpy(text + left + 1, b, right);
            *merge = (struct kv_string){ text, left + right + 1 };
        }
        if (!merge->text) return kv_fail(r->err, KV_NO_MEMORY, "No memory for the merges of the vocabulary.");
    }
    return KV_OK;
}

static int find_token(const struct kv_vocabulary *v, const char *text)
{
    size_t n = text ? strlen(text) : 0;
    for (int id = 0; id < v->n_token && n; id++)
        if (v->token[id].length == n && !memcmp(v->token[id].text, text, n)) return id;
    return -1;
}

/* ---- the model ---- */

static enum kv_status check_model(struct vocabulary_reader *r, const cJSON *model)
{
    static const char *const affixes[] = { "continuing_subword_prefix", "end_of_word_suffix" };
    const char *type = vocabulary_text(model, "type");
    if (!cJSON_IsObject(model)) return bad(r, "it has no model");
    if (type && strcmp(type, "BPE"))
        return kv_fail(r->err, KV_UNSUPPORTED,
            "The tokenizer's model is %.40s; kvdbg reads BPE. Give the prompt as token ids.", type);
    for (size_t i = 0; i < KV_COUNT(affixes); i++) {
        const char *affix = vocabulary_text(model, affixes[i]);
        if (affix && *affix)
            return kv_fail(
                r->err, KV_UNSUPPORTED, "The tokenizer's model has a %s, which kvdbg does not read.", affixes[i]);
    }
    return KV_OK;
}

static bool any_normalized(const cJSON *added)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, added)
    {
        if (vocabulary_flag(item, "normalized", false) && !vocabulary_flag(item, "special", false)) return true;
    }
    return false;
}

static enum kv_status read_tokenizer(struct vocabulary_reader *r, const cJSON *root, int n_vocab)
{
    struct kv_vocabulary *v = r->v;
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(root, "model");
    const cJSON *vocab = cJSON_GetObjectItemCaseSensitive(model, "vocab");
    const cJSON *added = cJSON_GetObjectItemCaseSensitive(root, "added_tokens");
    enum kv_status status = check_model(r, model);
    if (!status) status = vocabulary_read_steps(r, root, any_normalized(added));
    if (status) return status;
    v->n_token = n_vocab > 0 ? n_vocab : count_tokens(vocab, added);
    v->byte_fallback = vocabulary_flag(model, "byte_fallback", false);
    v->ignore_merges = vocabulary_flag(model, "ignore_merges", false);
    v->fuse_unknown = vocabulary_flag(model, "fuse_unk", false);
    int32_t *type = kv_alloc((size_t)v->n_token, sizeof *type);
    v->token_type = type;
    v->token = kv_alloc((size_t)v->n_token, sizeof *v->token);
    v->added = kv_alloc((size_t)v->n_token, 1);
    if (!type || !v->token || !v->added)
        return kv_fail(r->err, KV_NO_MEMORY, "No memory for the %d tokens of the vocabulary.", v->n_token);
    status = read_vocab(r, vocab, type);
    if (!status) status = read_added(r, added, type);
    if (!status) status = read_merges(r, cJSON_GetObjectItemCaseSensitive(model, "merges"));
    if (status) return status;
    for (int id = 0; id < v->n_token; id++) {
        if (!v->token[id].text) v->token[id] = (struct kv_string){ "", 0 };
        if (!type[id]) type[id] = 5; /* unused */
    }
    v->unknown = find_token(v, vocabulary_text(model, "unk_token"));
    v->bos = find_token(v, r->bos);
    v->add_bos = v->bos >= 0;
    return KV_OK;
}

/* ---- the other files ---- */

/* A token is a string, or an object with a content. */
static int named_token(const struct kv_vocabulary *v, const cJSON *config, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(config, key);
    return find_token(v, cJSON_IsObject(value) ? vocabulary_text(value, "content") : cJSON_GetStringValue(value));
}

/* A template is a string, or a list of them with names, of which "default" is taken. */
static const char *template_of(const cJSON *config)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(config, "chat_template"), *item;
    if (cJSON_IsString(value)) return value->valuestring;
    cJSON_ArrayForEach(item, value)
    {
        const char *name = vocabulary_text(item, "name");
        if (name && !strcmp(name, "default")) return vocabulary_text(item, "template");
    }
    return NULL;
}

/* What tokenizer_config.json says wins over the post-processor. */
static enum kv_status read_config(struct vocabulary_reader *r, const cJSON *config)
{
    struct kv_vocabulary *v = r->v;
    int bos = named_token(v, config, "bos_token"), unknown = named_token(v, config, "unk_token");
    const char *template = template_of(config);
    if (bos >= 0 && !v->add_bos) v->bos = bos;
    if (v->unknown < 0 && v->kind.length == 5) v->unknown = unknown;
    int eos = named_token(v, config, "eos_token");
    if (eos >= 0) v->eos = eos;
    v->add_bos = vocabulary_flag(config, "add_bos_token", v->add_bos) && v->bos >= 0;
    if (!template) return KV_OK;
    v->chat_template = vocabulary_keep(r, template);
    return v->chat_template.text ? KV_OK : r->err->code;
}

/* Where the config names none, the first of generation's end tokens: templates ask for it. */
static void read_eos(struct kv_vocabulary *v, const cJSON *generation)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(generation, "eos_token_id"), *item;
    if (v->eos < 0) v->eos = id_of(value, v->n_token);
    cJSON_ArrayForEach(item, value)
    {
        if (v->eos < 0) v->eos = id_of(item, v->n_token);
    }
}

static enum kv_status parse(struct kv_string text, const char *name, cJSON **out, struct kv_error *err)
{
    *out = cJSON_ParseWithLength(text.text, text.length);
    if (*out) return KV_OK;
    return kv_fail(err, KV_BAD_FILE, "%s is no JSON file that can be read.", name);
}

/* *out NULL where the folder has no such file. */
static enum kv_status read_json(const char *folder, const char *name, cJSON **out, struct kv_error *err)
{
    char *text;
    size_t n;
    *out = NULL;
    enum kv_status status = file_read(folder, name, &text, &n, err);
    if (status) return status == KV_NOT_FOUND ? KV_OK : status;
    status = parse((struct kv_string){ text, n }, name, out, err);
    free(text);
    return status;
}

static enum kv_status read_template(struct vocabulary_reader *r, const char *folder)
{
    char *text;
    size_t n;
    enum kv_status status = file_read(folder, "chat_template.jinja", &text, &n, r->err);
    if (status) return status == KV_NOT_FOUND ? KV_OK : status;
    r->v->chat_template = (struct kv_string){ arena_copy(r->arena, text, n), n };
    free(text);
    if (r->v->chat_template.text) return KV_OK;
    return kv_fail(r->err, KV_NO_MEMORY, "No memory for a chat template of %zu bytes.", n);
}

static enum kv_status open_arena(struct vocabulary_reader *r)
{
    r->v->owner = r->arena = kv_alloc(1, sizeof *r->arena);
    return r->arena ? KV_OK : kv_fail(r->err, KV_NO_MEMORY, "No memory for a vocabulary.");
}

/* Fills the vocabulary from what was parsed; config and generation may be NULL. */
static enum kv_status fill(
    struct vocabulary_reader *r, const cJSON *root, const cJSON *config, const cJSON *generation, int n_vocab)
{
    enum kv_status status = open_arena(r);
    if (!status) status = read_tokenizer(r, root, n_vocab);
    if (!status && config) status = read_config(r, config);
    if (!status && generation) read_eos(r->v, generation);
    return status;
}

/* Where tokenizer.model is all there is, tokenizer_config.json lists the added tokens, by their ids. */
static enum kv_status read_decoder(struct vocabulary_reader *r, const cJSON *config)
{
    struct kv_vocabulary *v = r->v;
    const cJSON *item;
    v->added = kv_alloc((size_t)v->n_token, 1);
    if (!v->added) return kv_fail(r->err, KV_NO_MEMORY, "No memory for the added tokens of the vocabulary.");
    for (int id = 0; id < v->n_token; id++) {
        int type = v->token_type[id];
        v->added[id] = type >= 2 && type <= 4 ? KV_ADDED : 0; /* unknown, control, user-defined */
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(config, "added_tokens_decoder"))
    {
        char *end;
        long id = strtol(item->string ? item->string : "", &end, 10);
        bool good = item->string && end != item->string && !*end && id >= 0 && id < v->n_token;
        enum kv_status status = add_token(r, item, good ? (int)id : -1, (int32_t *)v->token_type);
        if (status) return status;
    }
    return KV_OK;
}

static enum kv_status fill_from_model(
    struct vocabulary_reader *r, const char *folder, const cJSON *config, const cJSON *generation, int n_vocab)
{
    char *bytes;
    size_t n;
    enum kv_status status = file_read(folder, "tokenizer.model", &bytes, &n, r->err);
    if (status) return status == KV_NOT_FOUND ? KV_OK : status;
    status = open_arena(r);
    if (!status) status = vocabulary_read_model((struct kv_string){ bytes, n }, n_vocab, r->v, r->arena, r->err);
    free(bytes);
    if (!status) status = read_decoder(r, config);
    if (!status && config) status = read_config(r, config);
    if (!status && generation) read_eos(r->v, generation);
    return status;
}

enum kv_status kv_vocabulary_from_folder(
    const char *folder, int n_vocab, struct kv_vocabulary *out, struct kv_error *err)
{
    struct vocabulary_reader r = { .v = out, .err = err };
    cJSON *root = NULL, *config = NULL, *generation = NULL;
    *out = (struct kv_vocabulary){ .bos = -1, .eos = -1, .unknown = -1 };
    enum kv_status status = read_json(folder, file_name, &root, err);
    if (!status) status = read_json(folder, "tokenizer_config.json", &config, err);
    if (!status) status = read_json(folder, "generation_config.json", &generation, err);
    if (!status)
        status = root ? fill(&r, root, config, generation, n_vocab)
                      : fill_from_model(&r, folder, config, generation, n_vocab);
    if (!status && out->n_token) status = read_template(&r, folder);
    cJSON_Delete(root);
    cJSON_Delete(config);
    cJSON_Delete(generation);
    if (status) kv_vocabulary_close(out);
    return status;
}

enum kv_status kv_vocabulary_from_memory(struct kv_string tokenizer, struct kv_string config, int n_vocab,
    struct kv_vocabulary *out, struct kv_error *err)
{
    struct vocabulary_reader r = { .v = out, .err = err };
    cJSON *root = NULL, *parsed = NULL;
    *out = (struct kv_vocabulary){ .bos = -1, .eos = -1, .unknown = -1 };
    enum kv_status status = parse(tokenizer, file_name, &root, err);
    if (!status && config.length) status = parse(config, "tokenizer_config.json", &parsed, err);
    if (!status) status = fill(&r, root, parsed, NULL, n_vocab);
    cJSON_Delete(root);
    cJSON_Delete(parsed);
    if (status) kv_vocabulary_close(out);
    return status;
}

#else

enum kv_status kv_vocabulary_from_folder(
    const char *folder, int n_vocab, struct kv_vocabulary *out, struct kv_error *err)
{
    (void)folder, (void)n_vocab;
    *out = (struct kv_vocabulary){ .bos = -1, .eos = -1, .unknown = -1 };
    return kv_fail(err, KV_UNSUPPORTED,
        "This build has no cJSON, so it cannot read tokenizer.json; install libcjson-dev and build again.");
}

enum kv_status kv_vocabulary_from_memory(struct kv_string tokenizer, struct kv_string config, int n_vocab,
    struct kv_vocabulary *out, struct kv_error *err)
{
    (void)tokenizer, (void)config;
    return kv_vocabulary_from_folder("", n_vocab, out, err);
}

#endif
