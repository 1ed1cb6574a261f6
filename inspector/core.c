/* Core files as the user has them: what the session adds to the engine's core, and where it goes. */
#include "inspector/core.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/core.h"
#include "inspector/policy/edits.h"
#include "inspector/picture/hash.h"
#include "inspector/language/line.h"
#include "inspector/progress.h"
#include "inspector/picture/recipe.h"
#include "inspector/run.h"
#include "inspector/session_load.h"
#include "inspector/set.h"
#include "inspector/picture/target.h"

/* --- writing ---------------------------------------------------------------------------------------------------------- */

struct wish {
    char path[TARGET_BYTES];
    bool force;
    struct kv_core_want want;
};

/* "3.1": layer and head. */
static bool read_head(const char *word, int *layer, int *head)
{
    int used = 0;
    return sscanf(word, "%9d.%9d%n", layer, head, &used) == 2 && !word[used];
}

static enum kv_status read_maps(
    struct session *s, const struct line_words *words, int *at, struct kv_core_want *want)
{
    int layer, head, before = want->n_map;
    for (; *at + 1 < words->count && read_head(words->word[*at + 1], &layer, &head); ++*at) {
        if (want->n_map == KV_CORE_MAPS)
            return kv_fail(&s->err, KV_BAD_ARG, "A core file takes at most %d attention maps.", KV_CORE_MAPS);
        want->layer[want->n_map] = layer;
        want->head[want->n_map++] = head;
    }
    want->part[KV_CORE_ATTN] = true;
    if (want->n_map > before) return KV_OK;
    return kv_fail(&s->err, KV_BAD_ARG, "Argument required (LAYER.HEAD of +attn, as in +attn 3.1).");
}

static enum kv_status read_part(
    struct session *s, const struct line_words *words, int *at, struct kv_core_want *want)
{
    const char *name = words->word[*at] + 1;
    if (!strcmp(name, kv_core_part_name[KV_CORE_ATTN])) return read_maps(s, words, at, want);
    for (int i = KV_CORE_SCORES; i < KV_CORE_ATTN; i++)
        if (!strcmp(name, kv_core_part_name[i])) return want->part[i] = true, KV_OK;
    return kv_fail(
        &s->err, KV_BAD_ARG, "\"+%.40s\" is none of +scores, +entropy_q, +columns, +kv, +attn LAYER.HEAD.", name);
}

static enum kv_status read_wish(struct session *s, const char *args, struct wish *w)
{
    struct line_words words;
    enum kv_status st = line_split(args, &words, &s->err);
    *w = (struct wish){ 0 };
    for (int i = 0; i < words.count && !st; i++) {
        const char *word = words.word[i];
        if (!strcmp(word, "-f"))
            w->force = true;
        else if (*word == '+')
            st = read_part(s, &words, &i, &w->want);
        else if (*w->path || !*word || strlen(word) >= sizeof w->path)
            st = kv_fail(&s->err, KV_BAD_ARG, "gcore takes one FILE; quote a name with blanks.");
        else
            snprintf(w->path, sizeof w->path, "%s", word);
    }
    struct kv_where where;
    kv_where(s->engine, &where);
    if (!*w->path) snprintf(w->path, sizeof w->path, "core.%llu", (unsigned long long)where.tick);
    return st;
}

/* "Writing 1.9 MiB: base 1.2 MiB, +scores 0.7 MiB" */
static void say_size(struct session *s, const uint64_t *bytes)
{
    char text[32];
    uint64_t all = 0;
    for (int i = 0; i < KV_CORE_PARTS; i++) all += bytes[i];
    fprintf(s->out, "Writing %s: base ", line_bytes((double)all, text));
    fprintf(s->out, "%s", line_bytes((double)bytes[KV_CORE_BASE], text));
    for (int i = KV_CORE_SCORES; i < KV_CORE_PARTS; i++)
        if (bytes[i]) fprintf(s->out, ", +%s %s", kv_core_part_name[i], line_bytes((double)bytes[i], text));
    fputc('\n', s->out);
}

static enum kv_status write_core(struct session *s, struct wish *w, const struct target *t, const char *edits)
{
    uint64_t bytes[KV_CORE_PARTS];
    char focus[64];
    w->want.text = s->prompt;
    w->want.text_bytes = s->prompt_bytes;
    snprintf(focus, sizeof focus, "%d %d %d", s->layer, s->head, s->token);
    const struct kv_core_note note[] = { { "program", "kvdbg " KVDBG_VERSION }, { "model.sha256", s->model_sha },
        { "prompt.name", s->prompt_name }, { "prompt.sha256", s->prompt_sha }, { "chat", session_read_as(s) },
        { "focus", focus }, { "stop", s->stop_reason }, { "compress.title", s->policy_title },
        { "compress.policy", s->policy }, { "question.text", s->question }, { "edits", edits } };
    struct kv_core_note given[KV_COUNT(note)];
    w->want.note = given;
    for (size_t i = 0; i < KV_COUNT(note); i++)
        if (note[i].text) given[w->want.n_note++] = note[i];
    enum kv_status st = kv_core_size(s->engine, &w->want, bytes, &s->err);
    if (st) return st;
    say_size(s, bytes);
    fflush(s->out);
    st = kv_core_write(s->engine, t->fresh, &w->want, &s->err);
    progress_clear();
    return st;
}

struct reaction cmd_gcore(struct session *s, const char *args)
{
    struct wish w;
    struct target t;
    char sha[65], bytes[32];
    struct stat info;
    if (kv_core_path(s->engine)) return refuse(s, KV_NOT_NOW, "%s", KV_CORE_CANNOT_RUN);
    if (read_wish(s, args, &w)) return failed(s);
    run_end_line(s);
    if (recipe_hashes(s) || target_open(s, w.path, w.force, &t)) return failed(s);
    if (t.compare) /* times differ from run to run: the bytes cannot be the same */
        return refuse(
            s, KV_IO, "%.300s is there already and is not this session's work; -f overwrites it.", t.path);
    char *edits = edits_write(s);
    enum kv_status st = write_core(s, &w, &t, edits);
    free(edits);
    if (st || target_close(s, &t) || hash_file(t.path, sha, &s->err)) return failed(s);
    unsigned long long size = stat(t.path, &info) ? 0 : (unsigned long long)info.st_size;
    fprintf(s->out, "Saved corefile %s: %s bytes, sha256 %s%s\n", t.path, line_thousands(size, bytes), sha,
        session_mark(s));
    return DONE;
}

/* --- opening ---------------------------------------------------------------------------------------------------------- */

static const char *note(const struct session *s, const char *key, const char *absent)
{
    const char *text = kv_core_note(s->engine, key);
    return text ? text : absent;
}

/* What the session knew when the core was written; KV_NO_MEMORY. */
static enum kv_status take_notes(struct session *s)
{
    struct kv_verdict verdict;
    struct kv_error ignored;
    struct kv_array tok;
    int layer = 0, head = 0, token = 0;
    free(s->prompt);
    free(s->prompt_name);
    free(s->question);
    const char *text = kv_core_text(s->engine, &s->prompt_bytes);
    s->prompt = kv_alloc(s->prompt_bytes + 1, 1);
    if (s->prompt) memcpy(s->prompt, text, s->prompt_bytes);
    s->prompt_name = kv_strdup(note(s, "prompt.name", "unknown"));
    s->question = kv_strdup(kv_core_note(s->engine, "question.text"));
    edits_read(s, note(s, "edits", ""));
    s->chat = !strcmp(note(s, "chat", "off"), "on");
    s->prompt_ids = !strcmp(note(s, "chat", "off"), "ids");
    s->policy = kv_strdup(kv_core_note(s->engine, "compress.policy"));
    snprintf(s->policy_title, sizeof s->policy_title, "%s", note(s, "compress.title", ""));
    snprintf(s->stop_reason, sizeof s->stop_reason, "%s", note(s, "stop", ""));
    snprintf(s->model_sha, sizeof s->model_sha, "%s", note(s, "model.sha256", "unknown"));
    snprintf(s->prompt_sha, sizeof s->prompt_sha, "%s", note(s, "prompt.sha256", "unknown"));
    sscanf(note(s, "focus", ""), "%9d %9d %9d", &layer, &head, &token);
    s->layer = layer >= 0 && layer < s->facts.n_layer ? layer : 0;
    s->head = head >= 0 && head < s->facts.n_head ? head : 0;
    bool there = !kv_value(s->engine, "tok", &tok, &ignored);
    s->token = there && token >= 0 && (size_t)token < tok.dim[0] ? token : 0;
    if (!kv_twin(s->engine, INT_MAX, &verdict, &ignored)) s->kl_mean = verdict.kl_mean;
    if (s->prompt && s->prompt_name) return KV_OK;
    return kv_fail(&s->err, KV_NO_MEMORY, "No memory for the notes of a core file.");
}

/* As GDB does: who left it, and where it stands. */
static void introduce(struct session *s)
{
    struct kv_where w;
    struct kv_array tok;
    char where[64], next[256];
    size_t n = kv_value(s->engine, "tok", &tok, &s->err) ? 0 : tok.dim[0];
    kv_where(s->engine, &w);
    location_where(&w, where, sizeof where);
    run_next_text(s, &w, next, sizeof next);
    fprintf(s->out, "Core was generated by %s: %s, %s, %zu token%s%s%s.\n%s, tick %llu\n%llu\t%s\n",
        note(s, "program", "another program"), s->facts.path, s->prompt_name, n, n == 1 ? "" : "s",
        *s->policy_title ? "; " : "", s->policy_title, where, (unsigned long long)w.tick,
        (unsigned long long)w.tick, next);
}

enum kv_status core_open(struct session *s, const char *path)
{
    struct kv_model *model;
    struct kv_engine *engine;
    enum kv_status st = kv_core_open(path, &model, &engine, &s->err);
    if (st) return st;
    session_take(s, model, engine);
    s->other_model = true; /* another row of data opens it anew */
    st = take_notes(s);
    if (!st) introduce(s);
    return st;
}

/* Back from a core to the model of the command line, or the one that the core came from. */
static struct reaction leave_core(struct session *s)
{
    struct reaction r = CHANGED;
    if (!kv_core_path(s->engine)) return refuse(s, KV_BAD_ARG, "Argument required (core file).");
    char *path = kv_strdup(s->options->model ? s->options->model : s->facts.path);
    r.status = path ? session_model(s, path) : kv_fail(&s->err, KV_NO_MEMORY, "No memory for a file name.");
    free(path);
    if (r.status) {
        r.exit = r.status == KV_NO_MEMORY ? 5 : 4;
        return r;
    }
    free(s->prompt_name);
    s->prompt_name = NULL;
    fprintf(s->out, "No core file now.\n");
    return r;
}

struct reaction cmd_core_file(struct session *s, const char *args)
{
    struct line_words words;
    struct reaction r = CHANGED;
    struct kv_where w;
    if (line_split(args, &words, &s->err)) return failed(s);
    if (!words.count) return leave_core(s);
    if (words.count > 1) return refuse(s, KV_BAD_ARG, "core-file takes one FILE; quote a name with blanks.");
    kv_where(s->engine, &w);
    bool live = kv_started(s->engine) && !kv_core_path(s->engine) && w.phase != KV_PHASE_done;
    if (live && !session_ask(s, "A request is being debugged already.  Drop it? "))
        return refuse(s, KV_NOT_NOW, "Not confirmed.");
    run_end_line(s);
    r.status = core_open(s, words.word[0]);
    if (r.status) r.exit = r.status == KV_NO_MEMORY ? 5 : 2;
    return r;
}
