/* Core files: a round trip of every value, a size that is told beforehand, and damaged files that are each refused with
 * one sentence. */
#include "engine/core.h"
#include "engine/history.h"
#include "engine/look.h"
#include "engine/safetensors.h"
#include "tests/tap.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct kv_error err;
static char path[200], other[200];

static const char *preset = "seed";

static struct kv_engine *run(struct kv_model **model, const char *question)
{
    static const char text[] = "The quick brown fox jumps over the lazy dog. The magic number is 42.";
    struct kv_engine *e = NULL;
    const char *name[] = { "policy.preset", "policy.recent", "engine.precision", "decode.tokens",
        "engine.threads" };
    const char *value[] = { preset, strcmp(preset, "seed") ? "3" : "32", "f32", "5", "1" };
    struct kv_where w;
    if (kv_model_open("synthetic:tiny", model, &err) || kv_engine_open(*model, &e, &err) ||
        kv_set(e, name, value, 5, &err) || kv_prompt_text(e, text, sizeof text - 1, question, false, &err) ||
        kv_start(e, &err))
        return NULL;
    do {
        if (kv_step(e, KV_UNIT_PHASE, &err)) return NULL;
        kv_where(e, &w);
    } while (w.phase != KV_PHASE_done);
    return e;
}

static struct kv_core_want everything(void)
{
    static const struct kv_core_note note[] = { { "chat", "off" }, { "odd", "a\xFF\"\\\n\xC3\xA9" } };
    struct kv_core_want want = { .layer = { 0, 2, 0 },
        .head = { 1, 3, 1 },
        .n_map = 3,
        .note = note,
        .n_note = 2,
        .text = "as\0told",
        .text_bytes = 7 };
    for (int i = 0; i < KV_CORE_PARTS; i++) want.part[i] = true;
    return want;
}

static size_t bytes_of(const struct kv_array *a)
{
    static const size_t each[] = { [KV_F32] = 4, [KV_F64] = 8, [KV_I32] = 4, [KV_U8] = 1 };
    size_t n = each[a->type];
    for (int d = 0; d < a->n_dim; d++) n *= a->dim[d];
    return n;
}

/* Every value that the engine has: same type, shape, unit, axes and bits in the core, so that none is forgotten. */
static void same_values(struct kv_engine *live, struct kv_engine *core)
{
    for (int i = 0; kv_value_name(i); i++) {
        const char *name = kv_value_name(i);
        struct kv_array a, b;
        enum kv_status st = kv_value(live, name, &a, &err);
        if (st == KV_NOT_NOW) { /* nobody asked for it */
            CHECK(kv_value(core, name, &b, &err) == KV_NOT_NOW, "%s is in the core alone", name);
            continue;
        }
        REQUIRE(!st, "%s: %s", name, err.text);
        REQUIRE(!kv_value(core, name, &b, &err), "%s: %s", name, err.text);
        REQUIRE(a.type == b.type && a.n_dim == b.n_dim && !strcmp(a.unit, b.unit), "%s is of another kind", name);
        for (int d = 0; d < a.n_dim; d++)
            REQUIRE(a.dim[d] == b.dim[d] && !strcmp(a.axis[d], b.axis[d]), "%s: dimension %d", name, d);
        REQUIRE(!memcmp(a.data, b.data, bytes_of(&a)), "%s has other bits", name);
    }
}

static void same_texts(struct kv_engine *live, struct kv_engine *core)
{
    struct kv_array a;
    char x[400], y[400];
    const struct kv_setting *row;
    for (int i = 0; (row = kv_setting_at(i)); i++) {
        const char *name = row->name;
        REQUIRE(!kv_get(live, name, x, sizeof x, &err) && !kv_get(core, name, y, sizeof y, &err), "%s", err.text);
        CHECK(!strcmp(x, y), "%s is %s, was %s", name, y, x);
    }
    kv_describe(live, x, sizeof x);
    kv_describe(core, y, sizeof y);
    CHECK(!strcmp(x, y), "described as %s, was %s", y, x);
    REQUIRE(!kv_value(live, "reply", &a, &err), "%s", err.text);
    char *was = kv_tokens_text(live, a.data, (int)a.dim[0]), *is = kv_tokens_text(core, a.data, (int)a.dim[0]);
    CHECK(was && is && !strcmp(was, is), "the reply is \"%s\", was \"%s\"", is, was);
    free(was);
    free(is);
}

static void same_rest(struct kv_engine *live, struct kv_engine *core)
{
    struct kv_where a, b;
    struct kv_verdict v = { 0 }, u = { 0 };
    float x[200], y[200];
    size_t n = 12;
    kv_where(live, &a);
    kv_where(core, &b);
    CHECK(a.phase == b.phase && a.pass == b.pass && a.layer == b.layer && a.stage == b.stage && a.tick == b.tick &&
              a.branch == b.branch,
        "it stands at %s:%d, tick %llu", kv_phase_name[b.phase], b.pass, (unsigned long long)b.tick);
    CHECK(!kv_attention(live, 2, 3, 0, 10, x, n, &err) && !kv_attention(core, 2, 3, 0, 10, y, n, &err), "%s",
        err.text);
    CHECK(!memcmp(x, y, 10 * n * sizeof *x), "attention has other bits");
    CHECK(kv_attention(core, 1, 3, 0, 10, y, n, &err) == KV_NOT_NOW && strstr(err.text, "gcore +attn 1.3"), "%s",
        err.text);
    CHECK(!kv_twin(live, 3, &u, &err) && !kv_twin(core, 3, &v, &err), "%s", err.text);
    CHECK(!memcmp(&u, &v, sizeof v), "the verdict is KL %g over %d steps, was %g over %d", v.kl_mean, v.steps,
        u.kl_mean, u.steps);
    for (int p = 0; p < KV_PHASE_COUNT; p++) {
        struct kv_time s, t;
        kv_time(live, (enum kv_phase)p, &s);
        kv_time(core, (enum kv_phase)p, &t);
        CHECK(s.us == t.us && s.tokens == t.tokens, "time of %s", kv_phase_name[p]);
    }
}

/* Keys, values, slots, and what stages cost. */
static void same_caches(struct kv_engine *live, struct kv_engine *core)
{
    struct kv_cost x[64], y[64];
    float a[16], b[16];
    int32_t p[300], q[300];
    int here, there, n = kv_pass_costs(live, x, 64, &here);
    CHECK(kv_pass_costs(core, y, 64, &there) == n && here == there && !memcmp(x, y, (size_t)n * sizeof *x),
        "the stages cost something else");
    for (int l = 0; l < 3; l++) {
        int tokens = kv_cache_tokens(live, l), slots = kv_cache_slots(live, l, 0, p, 300);
        CHECK(kv_cache_tokens(core, l) == tokens, "layer %d has %d tokens, had %d", l, kv_cache_tokens(core, l),
            tokens);
        CHECK(kv_cache_slots(core, l, 0, q, 300) == slots && !memcmp(p, q, (size_t)slots * sizeof *p),
            "slots of layer %d", l);
        slots = kv_cache_slots(live, l, 1, p, 300);
        CHECK(kv_cache_slots(core, l, 1, q, 300) == slots && !memcmp(p, q, (size_t)slots * sizeof *p),
            "slots of layer %d, KV head 1", l);
        for (int i = 0; i < 4 * tokens; i++) {
            bool values = i & 1;
            int head = i >> 1 & 1;
            REQUIRE(!kv_cache_rows(live, values, l, head, i / 4, 1, a, &err), "%s", err.text);
            REQUIRE(!kv_cache_rows(core, values, l, head, i / 4, 1, b, &err), "%s", err.text);
            REQUIRE(!memcmp(a, b, sizeof a), "layer %d, token %d has other keys or values", l, i / 4);
        }
    }
}

static void round_trip(const char *question)
{
    struct kv_model *model = NULL, *none = NULL;
    struct kv_engine *e = run(&model, question), *core = NULL;
    struct kv_verdict verdict;
    struct kv_core_want want = everything();
    uint64_t bytes[KV_CORE_PARTS], sum = 0;
    struct stat info = { 0 };
    REQUIRE(e && !kv_twin(e, 3, &verdict, &err), "%s", err.text);
    REQUIRE(!kv_core_size(e, &want, bytes, &err) && !kv_core_write(e, path, &want, &err), "%s", err.text);
    for (int i = 0; i < KV_CORE_PARTS; i++) {
        CHECK(bytes[i], "%s is empty", kv_core_part_name[i]);
        sum += bytes[i];
    }
    CHECK(!stat(path, &info) && (uint64_t)info.st_size == sum, "%lld bytes, %llu were told",
        (long long)info.st_size, (unsigned long long)sum);
    REQUIRE(!kv_core_open(path, &none, &core, &err), "%s", err.text);
    CHECK(kv_core_path(core) && !kv_core_path(e), "who is the core");
    CHECK(!strcmp(kv_core_note(core, "odd"), "a\xEF\xBF\xBD\"\\\n\xC3\xA9"), "a note is \"%s\"",
        kv_core_note(core, "odd"));
    size_t n;
    CHECK(!memcmp(kv_core_text(core, &n), "as\0told", 8) && n == 7, "the text has %zu bytes", n);
    same_values(e, core);
    same_texts(e, core);
    same_caches(e, core);
    same_rest(e, core);
    kv_engine_close(core);
    kv_model_close(none);
    kv_engine_close(e);
    kv_model_close(model);
}

static void without_question(void) { round_trip(NULL); }
static void with_question(void) { round_trip("What is the number?"); }

static void with_heads(void)
{
    preset = "adakv";
    round_trip(NULL);
    round_trip("What is the number?");
    preset = "seed";
}

/* Whatever would run or change answers with one sentence, and changes nothing. */
static void cannot_run(void)
{
    struct kv_model *model = NULL;
    struct kv_engine *core = NULL;
    struct kv_core_want want = { 0 };
    struct kv_mark *mark;
    struct kv_verdict verdict;
    uint64_t hash, bytes[KV_CORE_PARTS];
    const char *name = "policy.ratio", *value = "0.5";
    const int32_t ids[] = { 1, 2, 3 }, *kept[] = { NULL, NULL, NULL };
    const int n_kept[] = { 0, 0, 0 };
    REQUIRE(!kv_core_open(path, &model, &core, &err), "%s", err.text);
    struct {
        const char *what;
        enum kv_status status;
        struct kv_error err;
    } calls[] = { { "start", kv_start(core, &err), err }, { "step", kv_step(core, KV_UNIT_STAGE, &err), err },
        { "recompress", kv_recompress(core, &err), err }, { "set", kv_set(core, &name, &value, 1, &err), err },
        { "prompt", kv_prompt_text(core, "abc", 3, NULL, false, &err), err },
        { "ids", kv_prompt_ids(core, ids, 3, NULL, 0, &err), err }, { "seek", kv_seek(core, 0, &err), err },
        { "hash", kv_state_hash(core, &hash, &err), err }, { "mark", kv_mark_take(core, &mark, &err), err },
        { "score", kv_score(core, ids, 3, 1, kept, n_kept, NULL, &verdict, &err), err },
        { "size", kv_core_size(core, &want, bytes, &err), err },
        { "write", kv_core_write(core, other, &want, &err), err } };
    for (size_t i = 0; i < KV_COUNT(calls); i++) {
        CHECK(calls[i].status == KV_NOT_NOW && !strcmp(calls[i].err.text, KV_CORE_CANNOT_RUN), "%s says %d: %s",
            calls[i].what, calls[i].status, calls[i].err.text);
    }
    CHECK(access(other, F_OK), "a core of a core was written");
    kv_engine_close(core);
    kv_model_close(model);
}

static void nowhere_to_write(void)
{
    struct kv_model *model = NULL;
    struct kv_engine *e = run(&model, NULL);
    struct kv_core_want want = { 0 };
    REQUIRE(e, "%s", err.text);
    CHECK(kv_core_write(e, "/nonexistent/x", &want, &err) == KV_IO && strstr(err.text, "No such file"), "%s",
        err.text);
    kv_stop(e);
    CHECK(kv_core_write(e, other, &want, &err) == KV_STOPPED && access(other, F_OK), "stopped: %s", err.text);
    want.layer[0] = 9;
    want.n_map = 1;
    CHECK(kv_core_write(e, other, &want, &err) == KV_BAD_ARG && access(other, F_OK), "layer 9: %s", err.text);
    kv_engine_close(e);
    kv_model_close(model);
}

/* --- damage --------------------------------------------------------------------------------------------------- */

static char *whole;
static size_t whole_bytes;

static bool read_whole(void)
{
    struct kv_model *model = NULL;
    struct kv_engine *e = run(&model, NULL);
    struct kv_verdict verdict;
    struct kv_core_want want = everything();
    bool ok = e && !kv_twin(e, 3, &verdict, &err) && !kv_core_write(e, path, &want, &err);
    FILE *f = ok ? fopen(path, "rb") : NULL;
    free(whole);
    whole = f ? malloc(1 << 20) : NULL;
    whole_bytes = whole ? fread(whole, 1, 1 << 20, f) : 0;
    if (f) fclose(f);
    kv_engine_close(e);
    kv_model_close(model);
    return whole_bytes > 1000;
}

/* Opens bytes as a core; it must be refused with a sentence that has `says` in it. */
static void refused(const char *what, const void *data, size_t n, const char *says)
{
    struct kv_model *model = NULL;
    struct kv_engine *e = NULL;
    FILE *f = fopen(other, "wb");
    REQUIRE(f && fwrite(data, 1, n, f) == n && !fclose(f), "%s cannot be written", other);
    err = (struct kv_error){ 0 };
    enum kv_status st = kv_core_open(other, &model, &e, &err);
    CHECK(st && !model && !e && strstr(err.text, says), "%s: status %d, \"%s\"", what, st, err.text);
    size_t length = strlen(err.text);
    CHECK(length && err.text[length - 1] == '.' && err.text[length - 2] != '.', "%s: \"%s\"", what, err.text);
    kv_engine_close(e);
    kv_model_close(model);
    unlink(other);
}

/* The header with one text replaced by another of any length. */
static void header_with(const char *from, const char *to, const char *says)
{
    uint64_t length;
    memcpy(&length, whole, 8);
    char *header = strndup(whole + 8, length), *at = strstr(header, from);
    REQUIRE(at, "the header has no %s", from);
    size_t rest = whole_bytes - 8 - length, now = length - strlen(from) + strlen(to), head = (size_t)(at - header);
    char *out = malloc(8 + now + rest);
    uint64_t word = now;
    memcpy(out, &word, 8);
    memcpy(out + 8, header, head);
    memcpy(out + 8 + head, to, strlen(to));
    memcpy(out + 8 + head + strlen(to), at + strlen(from), length - head - strlen(from));
    memcpy(out + 8 + now, whole + 8 + length, rest);
    refused(to, out, 8 + now + rest, says);
    free(header);
    free(out);
}

/* A file of a header alone, and so many bytes of data. */
static void header_of(const char *json, size_t data, const char *says)
{
    uint64_t length = strlen(json);
    char *out = calloc(1, 8 + length + data);
    memcpy(out, &length, 8);
    memcpy(out + 8, json, length);
    refused(json, out, 8 + length + data, says);
    free(out);
}

static void no_safetensors(void)
{
    REQUIRE(read_whole(), "%s", err.text);
    uint64_t huge = UINT64_MAX, large = (uint64_t)17 << 20;
    refused("nothing", "", 0, "too few");
    refused("7 bytes", whole, 7, "too few");
    refused("the length word alone", whole, 8, "cut off");
    refused("half a header", whole, 500, "cut off");
    refused("half of the data", whole, whole_bytes / 2, "cut off");
    refused("one byte short", whole, whole_bytes - 1, "cut off");
    refused("a huge header", &huge, 8, "cut off");
    char *zeros = calloc(1, 8 + large);
    memcpy(zeros, &large, 8);
    refused("a header beyond the limit", zeros, 8 + large, "limit");
    free(zeros);
    char *more = malloc(whole_bytes + 1);
    memcpy(more, whole, whole_bytes);
    more[whole_bytes] = 0;
    refused("a byte too many", more, whole_bytes + 1, "belong to no tensor");
    free(more);
    char *deep = malloc(200001);
    memset(deep, '[', 200000);
    deep[200000] = 0;
    header_of(deep, 0, "no JSON");
    memcpy(deep, "{\"a\":", 5);
    header_of(deep, 0, "no JSON");
    free(deep);
}

static void odd_headers(void)
{
    header_of("", 0, "no JSON");
    header_of("[]", 0, "not one JSON object");
    header_of("{} {}", 0, "not one JSON object");
    header_of("{\"a\":1}", 0, "no dtype");
    header_of("{\"a\":{\"dtype\":7}}", 0, "no dtype");
    header_of("{\"a\":{\"dtype\":\"Q7\"}}", 0, "unknown dtype");
    header_of("{\"a\":{\"dtype\":\"F32\"}}", 0, "no shape");
    header_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,0]}}", 0, "no whole number");
    header_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,0]}}", 0, "no whole number");
    header_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[1e300],\"data_offsets\":[0,0]}}", 0, "no whole number");
    header_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[9007199254740992,9007199254740992],\"data_offsets\":[0,0]}}", 0,
        "too large");
    header_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[0,0,0,0,0,0,0,0,0],\"data_offsets\":[0,0]}}", 0, "dimensions");
    header_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data offsets");
    header_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4, "data offsets");
    header_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "offsets 4 to 0");
    header_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,5]}}", 5, "take 4 bytes");
    header_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "gap");
    header_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
              "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}",
        6, "overlaps");
    header_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
              "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
        2, "twice");
    header_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[0,9]}}", 2, "cut off");
    header_of("{\"__metadata__\":{\"format\":1}}", 0, "something else than texts");
    header_of("{\"__metadata__\":{\"format\":\"pt\"}}", 0, "kvdbg-core");
    header_of("{\"__metadata__\":\"kvdbg-core\"}", 0, "kvdbg-core");
    header_of("{}", 0, "kvdbg-core");
}

static void odd_metadata(void)
{
    REQUIRE(read_whole(), "%s", err.text);
    header_with("\"format.version\":\"1\"", "\"format.version\":\"2\"", "format version 2");
    header_with("\"format.version\":\"1\"", "\"format.version\":\"one\"", "whole number");
    header_with("\"format.version\":\"1\"", "\"x\":\"1\"", "no format.version");
    header_with("\"model.layers\":\"3\"", "\"model.layers\":\"0\"", "model.layers");
    header_with("\"model.layers\":\"3\"", "\"model.layers\":\"4\"", "expected");
    header_with("\"model.layers\":\"3\"", "\"model.layers\":\"nan\"", "model.layers");
    header_with("\"model.layers\":\"3\"", "\"model.layers\":\"99999999999999999999\"", "model.layers");
    header_with("\"model.layers\":\"3\"", "\"x\":\"3\"", "no model.layers");
    header_with("\"model.heads\":\"4\"", "\"model.heads\":\"5\"", "no multiple");
    header_with("\"model.kv-heads\":\"2\"", "\"model.kv-heads\":\"-2\"", "model.kv-heads");
    header_with("\"model.vocabulary\":\"320\"", "\"model.vocabulary\":\"7\"", "out of range");
    header_with("\"phase\":\"done\"", "\"phase\":\"load\"", "no phase");
    header_with("\"phase\":\"done\"", "\"phase\":\"\\u001b[2J\"", "no phase");
    header_with("\"stage\":\"\"", "\"stage\":\"sit\"", "stage");
    header_with("\"layer\":\"-1\"", "\"layer\":\"3\"", "layer");
    header_with("\"tail\":\"4\"", "\"tail\":\"77\"", "tail");
    header_with("\"policy.ratio\":\"0.25\"", "\"policy.ratio\":\"7\"", "policy.ratio");
    header_with("\"policy.preset\":\"seed\"", "\"policy.preset\":\"\\u0007\"", "policy.preset");
    header_with("\"policy.profile\":\"none\"", "\"policy.profile\":\"\x9a\\u001bne\"", "??ne");
    header_with("\"mem.peak\":\"", "\"mem.peak\":\"x", "mem.peak");
    header_with("\"time.prefill\":\"", "\"time.prefill\":\"x", "time.prefill");
}

static void odd_tensors(void)
{
    REQUIRE(read_whole(), "%s", err.text);
    header_with("\"tok\":{\"dtype\":\"I32\"", "\"tok\":{\"dtype\":\"F32\"", "expected whole");
    header_with("\"entropy\":{\"dtype\":\"F64\"", "\"entropy\":{\"dtype\":\"I64\"", "expected floating-point");
    header_with("\"entropy\":{\"dtype\":\"F64\",\"shape\":[3,4]", "\"entropy\":{\"dtype\":\"F64\",\"shape\":[4,3]",
        "expected 3");
    header_with("\"entropy\":{\"dtype\":\"F64\",\"shape\":[3,4]", "\"entropy\":{\"dtype\":\"F64\",\"shape\":[12]",
        "dimensions");
    header_with("\"tok\":{", "\"tik\":{", "no tokens");
    header_with("\"piece.id\":{", "\"piece.if\":{", "do not fit");
    header_with("\"piece.bytes\":{\"dtype\":\"U8\"", "\"piece.bytes\":{\"dtype\":\"I8\"", "do not fit");
    header_with("\"full\":{\"dtype\":\"I32\"", "\"fool\":{\"dtype\":\"I32\"", "number of steps");
    header_with("\"n_kept\":{\"dtype\":\"I32\"", "\"n_kept\":{\"dtype\":\"F32\"", "expected whole");
    /* the data: a first element that cannot be */
    uint64_t length;
    memcpy(&length, whole, 8);
    static const char *const checked[] = { "tok", "reply", "budget.app", "kept", "reason", "piece.start",
        "n_kept" };
    for (size_t i = 0; i < KV_COUNT(checked); i++) {
        char key[40];
        unsigned long long begin = 0;
        snprintf(key, sizeof key, "\"%s\":{", checked[i]);
        char *header = strndup(whole + 8, length), *at = strstr(header, key);
        at = at ? strstr(at, "data_offsets\":[") : NULL;
        REQUIRE(at && sscanf(at, "data_offsets\":[%llu", &begin) == 1, "no tensor %s", checked[i]);
        char *damaged = malloc(whole_bytes);
        memcpy(damaged, whole, whole_bytes);
        damaged[8 + length + begin + (i < 3 || i > 4 ? 3 : 0)] = (char)0xFF;
        refused(checked[i], damaged, whole_bytes, "out of range");
        free(damaged);
        free(header);
    }
}

/* What is read when it is asked for is checked then. */
static void late_damage(void)
{
    struct kv_model *model = NULL;
    struct kv_engine *e = NULL;
    struct kv_array a;
    REQUIRE(read_whole(), "%s", err.text);
    uint64_t length;
    unsigned long long begin = 0;
    memcpy(&length, whole, 8);
    char *header = strndup(whole + 8, length), *at = strstr(header, "\"rank\":{");
    at = at ? strstr(at, "data_offsets\":[") : NULL;
    REQUIRE(at && sscanf(at, "data_offsets\":[%llu", &begin) == 1, "no ranks");
    whole[8 + length + begin + 3] = 0x7F;
    free(header);
    FILE *f = fopen(other, "wb");
    REQUIRE(f && fwrite(whole, 1, whole_bytes, f) == whole_bytes && !fclose(f), "%s cannot be written", other);
    REQUIRE(!kv_core_open(other, &model, &e, &err), "%s", err.text);
    CHECK(kv_value(e, "rank", &a, &err) == KV_BAD_FILE && strstr(err.text, "out of range"), "%s", err.text);
    CHECK(!kv_value(e, "score", &a, &err), "%s", err.text);
    REQUIRE(!truncate(other, (off_t)(8 + length)), "%s cannot be cut", other);
    CHECK(kv_value(e, "columns", &a, &err) == KV_IO && strstr(err.text, "cut off"), "%s", err.text);
    kv_engine_close(e);
    kv_model_close(model);
    unlink(other);
}

static const struct tap_case cases[] = {
    { "every value, text, row and time comes back", without_question },
    { "the same with a question", with_question },
    { "the same where every KV head keeps its own tokens", with_heads },
    { "what would run is refused", cannot_run },
    { "nowhere to write, stopped, no such head", nowhere_to_write },
    { "no safetensors file", no_safetensors },
    { "odd headers", odd_headers },
    { "odd metadata", odd_metadata },
    { "odd tensors", odd_tensors },
    { "damage found late", late_damage },
};

int main(int argc, char **argv)
{
    char folder[] = "/tmp/kvdbg-core-XXXXXX";
    if (!mkdtemp(folder)) return 2;
    snprintf(path, sizeof path, "%s/a.core", folder);
    snprintf(other, sizeof other, "%s/b.core", folder);
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    unlink(path);
    unlink(other);
    rmdir(folder);
    free(whole);
    return status;
}
