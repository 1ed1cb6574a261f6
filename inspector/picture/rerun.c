/* A picture's recipe, run again: model and prompt must be those of the recipe, everything else is put as it says. */
#include "inspector/picture/rerun.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/edit.h"
#include "inspector/picture/figures.h"
#include "inspector/picture/hash.h"
#include "inspector/picture/picture.h"
#include "inspector/picture/recipe.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"
#include "inspector/session_load.h"
#include "inspector/picture/target.h"

#define SETTINGS_MOST 128
#define SHA_SHOWN     12 /* digits that tell two files apart */

static const char *note(const struct png_recipe *r, const char *key)
{
    for (size_t i = 0; i < r->count; i++)
        if (!strcmp(r->notes[i].key, key)) return r->notes[i].text;
    return NULL;
}

static const char *word(const struct png_recipe *r, const char *key)
{
    const char *text = note(r, key);
    return text ? text : "";
}

/* --- what the session must have --------------------------------------------------------------------------------------- */

static enum kv_status same_model(struct session *s, const struct png_recipe *r)
{
    if (!strcmp(word(r, "kvdbg:model-sha256"), s->model_sha)) return KV_OK;
    return kv_fail(&s->err, KV_NOT_FOUND,
        "The picture is of another model, %.80s (sha256 %.*s...); open it with \"file\", this one is %.80s "
        "(%.*s...).",
        word(r, "kvdbg:model"), SHA_SHOWN, word(r, "kvdbg:model-sha256"), s->facts.name, SHA_SHOWN, s->model_sha);
}

static enum kv_status same_prompt(struct session *s, const struct png_recipe *r)
{
    const char *sha = word(r, "kvdbg:prompt-sha256");
    if (!s->prompt || strcmp(sha, s->prompt_sha) != 0)
        return kv_fail(&s->err, KV_NOT_FOUND,
            "The picture's prompt, of %s tokens and sha256 %.64s, is not there: load it with \"prompt FILE\".",
            word(r, "kvdbg:prompt-tokens"), sha);
    const char *as = word(r, "kvdbg:chat"), *own = session_read_as(s);
    if (!strcmp(as, own)) return KV_OK;
    if (!strcmp(as, "ids") || !strcmp(own, "ids"))
        return kv_fail(&s->err, KV_NOT_FOUND, "The picture's prompt was %s, and this one is %s.",
            strcmp(as, "ids") ? "a text" : "token ids", strcmp(own, "ids") ? "a text" : "token ids");
    return kv_fail(&s->err, KV_NOT_FOUND,
        "The picture's prompt was read with the chat template %s: start kvdbg with --chat %s.", as, as);
}

static enum kv_status same_question(struct session *s, const struct png_recipe *r)
{
    const char *question = note(r, "kvdbg:question");
    bool same = (!question && !s->question) || (question && s->question && !strcmp(question, s->question));
    return same ? KV_OK : session_ask_again(s, question);
}

/* --- settings ---------------------------------------------------------------------------------------------------------- */

struct pairs {
    char *name[SETTINGS_MOST];
    const char *value[SETTINGS_MOST];
    int count;
};

/* The values of one room of settings, as recipe.c wrote them. The JSON keeps the texts. */
static enum kv_status add_room(
    struct session *s, struct pairs *p, const char *room, const cJSON *object, const char *path)
{
    const cJSON *item;
    if (!cJSON_IsObject(object))
        return kv_fail(&s->err, KV_BAD_FILE, "The recipe in %.300s has no settings of %s.", path, room);
    cJSON_ArrayForEach(item, object)
    {
        char full[120];
        const char *value = cJSON_GetStringValue(item);
        snprintf(full, sizeof full, "%s.%.80s", room, item->string);
        if (!value || !strcmp(value, "unset")) continue;
        if (p->count == SETTINGS_MOST || !(p->name[p->count] = kv_strdup(full)))
            return kv_fail(&s->err, KV_NO_MEMORY, "No memory for the recipe's settings.");
        p->value[p->count++] = value;
    }
    return KV_OK;
}

static enum kv_status put_settings(struct session *s, const struct png_recipe *r, const char *path)
{
    static const char *const rooms[] = { "policy", "engine", "decode", "judge" };
    cJSON *json[KV_COUNT(rooms)] = { NULL };
    struct pairs p = { .count = 0 };
    enum kv_status st = KV_OK;
    for (size_t i = 0; i < KV_COUNT(rooms) && !st; i++) {
        char key[32];
        snprintf(key, sizeof key, "kvdbg:%s", rooms[i]);
        if (i == 3 && !note(r, key)) continue; /* only what diff made has it */
        json[i] = cJSON_Parse(word(r, key));
        st = add_room(s, &p, rooms[i], json[i], path);
    }
    if (!st) st = kv_set(s->engine, (const char *const *)p.name, p.value, p.count, &s->err);
    while (p.count) free(p.name[--p.count]);
    for (size_t i = 0; i < KV_COUNT(rooms); i++) cJSON_Delete(json[i]);
    return st;
}

/* --- edits ---------------------------------------------------------------------------------------------------------------- */

/* Nothing pinned, nothing evicted, all budgets the solver's. */
static enum kv_status clear_edits(struct session *s)
{
    int last = s->facts.n_layer - 1;
    enum kv_status st = kv_edit_tokens(s->engine, KV_UNPIN, NULL, 0, 0, last, &s->err);
    for (int32_t l = 0, free_again = KV_BUDGET_AUTO; !st && l <= last; l++)
        st = kv_edit_budgets(s->engine, &l, &free_again, 1, &s->err);
    return st;
}

/* The recipe's commands, "kv pin 5 layer 1; set budget L2 60", and no others. What they say is not heard. */
static enum kv_status put_edits(struct session *s, const char *text)
{
    static const char *const known[] = { "kv pin ", "kv evict ", "set budget " };
    enum kv_status st = KV_OK;
    FILE *out = s->out, *nowhere = fopen("/dev/null", "w");
    if (nowhere) s->out = nowhere;
    while (text && *text && !st) {
        char line[sizeof s->command];
        const char *end = strstr(text, "; ");
        size_t n = end ? (size_t)(end - text) : strlen(text);
        bool fits = false;
        for (size_t i = 0; i < KV_COUNT(known); i++) fits = fits || !strncmp(text, known[i], strlen(known[i]));
        if (!fits || n >= sizeof line) {
            st = kv_fail(&s->err, KV_BAD_FILE, "The recipe has an edit that is none: %.60s.", text);
            break;
        }
        snprintf(line, sizeof line, "%.*s", (int)n, text);
        st = session_line(s, line).status;
        text = end ? end + 2 : "";
    }
    s->out = out;
    if (nowhere) fclose(nowhere);
    return st;
}

/* --- to the picture's tick ----------------------------------------------------------------------------------------------- */

/* Past all stops, for what they do is not in the recipe. */
static enum kv_status walk(struct session *s, const struct png_recipe *r)
{
    uint64_t tick = strtoull(word(r, "kvdbg:tick"), NULL, 10);
    struct kv_where w;
    const char *edits = note(r, "kvdbg:edits");
    recipe_note_policy(s);
    for (kv_where(s->engine, &w); w.tick < tick && w.phase != KV_PHASE_done; kv_where(s->engine, &w)) {
        enum kv_status st = KV_OK;
        if (edits && w.phase >= KV_PHASE_compress) { /* where the prefill is there to check them against */
            st = put_edits(s, edits);
            recipe_note_policy(s);
            edits = NULL;
        }
        if (!st) st = kv_step(s->engine, KV_UNIT_STAGE, &s->err);
        if (st && !(st == KV_STOPPED && !session_interrupted())) return st;
    }
    if (edits && put_edits(s, edits)) return s->err.code;
    char where[64];
    location_where(&w, where, sizeof where);
    if (w.tick == tick && !strcmp(where, word(r, "kvdbg:where"))) return KV_OK;
    return kv_fail(&s->err, KV_NOT_FOUND,
        "The picture was drawn at tick %llu, %.60s; the request is at tick %llu, %s.", (unsigned long long)tick,
        word(r, "kvdbg:where"), (unsigned long long)w.tick, where);
}

static enum kv_status to_tick(struct session *s, const struct png_recipe *r)
{
    const char *steps = note(r, "kvdbg:diff-steps");
    struct kv_verdict verdict;
    enum kv_status st = run_begin(s) ? walk(s, r) : s->err.code;
    if (!st && steps) st = kv_twin(s->engine, (int)strtol(steps, NULL, 10), &verdict, &s->err);
    if (!st && steps) s->kl_mean = verdict.kl_mean;
    run_rewound(s);
    stops_moved(s);
    snprintf(s->stop_reason, sizeof s->stop_reason, "goto");
    return st;
}

/* --- the picture itself -------------------------------------------------------------------------------------------------- */

/* "export png [-raw16] FILE WHAT" */
static enum kv_status read_command(struct session *s, const struct png_recipe *r, struct picture *p)
{
    static const char begin[] = "export png ";
    struct line_words words;
    const char *command = word(r, "kvdbg:command");
    if (strncmp(command, begin, strlen(begin)) != 0)
        return kv_fail(&s->err, KV_BAD_FILE, "The recipe's command is none that draws: %.100s.", command);
    enum kv_status st = line_split(command + strlen(begin), &words, &s->err);
    if (st) return st;
    bool raw = words.count && !strcmp(words.word[0], "-raw16");
    st = picture_read(s, &words, 1 + raw, p);
    p->raw16 = raw;
    return st;
}

/* What of the recipe came out otherwise, for the sentence; NULL = nothing. */
static const char *differs(const struct png_recipe *a, const struct png_recipe *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->notes[i].text, word(b, a->notes[i].key)) != 0) return a->notes[i].key;
    return NULL;
}

static struct reaction compare(struct session *s, const struct png_recipe *old, const char *path, const char *drawn)
{
    struct png_recipe r = { 0 };
    char want[65], have[65];
    if (hash_file(path, want, &s->err) || hash_file(drawn, have, &s->err) || png_recipe_read(drawn, &r, &s->err))
        return failed(s);
    bool same = !strcmp(want, have);
    const char *key = same ? NULL : differs(old, &r);
    rows_fact_text(s, "file", path);
    rows_fact_text(s, "sha256", have);
    rows_fact(s, "same", same);
    if (same)
        fprintf(s->out, "%s: the same bytes again, sha256 %s%s\n", path, have, session_mark(s));
    else if (key)
        kv_fail(&s->err, KV_BAD_FILE, "Drawn again, %.300s is another picture: %.60s was %.200s and is %.200s.",
            path, key, word(old, key), word(&r, key));
    else
        kv_fail(&s->err, KV_BAD_FILE,
            "Drawn again by the same recipe, %.300s has other bytes (%.12s..., not %.12s...): the fonts or their "
            "library differ.",
            path, have, want);
    png_recipe_free(&r);
    return same ? STEPPED : failed(s);
}

struct reaction rerun_picture(struct session *s, const char *path, const char *to)
{
    struct png_recipe r;
    struct picture p;
    struct target t;
    char beside[TARGET_BYTES + 32];
    if (png_recipe_read(path, &r, &s->err)) return failed(s);
    enum kv_status st = KV_OK;
    if (!note(&r, "kvdbg:command"))
        st = kv_fail(&s->err, KV_BAD_FILE, "%.300s holds no recipe: it is no picture of kvdbg.", path);
    if (!st && !to && strlen(path) >= TARGET_BYTES)
        st = kv_fail(&s->err, KV_BAD_ARG, "That is no file name to write beside: %.100s...", path);
    if (!st) st = recipe_hashes(s);
    if (!st) st = same_model(s, &r);
    if (!st) st = same_prompt(s, &r);
    if (!st) st = same_question(s, &r);
    if (!st) st = put_settings(s, &r, path);
    if (!st) st = clear_edits(s);
    if (!st) st = to_tick(s, &r);
    if (!st) st = read_command(s, &r, &p);
    if (!st && to) st = target_open(s, to, false, &t);
    snprintf(beside, sizeof beside, "%s.kvdbg-%ld", path, (long)getpid());
    if (!st) st = figures_draw(s, &p, to ? t.fresh : beside);
    struct reaction result = st ? failed(s) : compare(s, &r, path, to ? t.fresh : beside);
    if (!to) unlink(beside);
    if (!st && to && target_close(s, &t) && !result.status) result = failed(s);
    png_recipe_free(&r);
    return result;
}
