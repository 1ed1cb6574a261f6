/* set, show, prompt, question, file, kv. */
#include "inspector/set.h"

#include <stdlib.h>
#include <string.h>

#include "engine/core.h"
#include "inspector/lab/tune.h"
#include "inspector/language/line.h"
#include "inspector/language/lookup.h"
#include "inspector/expr/names.h"
#include "inspector/expr/print.h"
#include "inspector/json/rows.h"
#include "inspector/session_load.h"

/* --- settings of the engine ------------------------------------------------------------------------------------------ */

enum kv_status set_find(struct session *s, const char *word, const char **name)
{
    const char *near = NULL;
    char list[300] = "";
    size_t n = strlen(word), at = 0;
    int matches = 0;
    const struct kv_setting *row;
    if (!strcmp(word, "policy")) return *name = "policy.preset", KV_OK;
    for (int i = 0; (row = kv_setting_at(i)); i++) {
        if (!strcmp(row->name, word)) return *name = row->name, KV_OK;
        if (lookup_distance(word, n, row->name) == 1) near = row->name;
        if (strncmp(row->name, word, n)) continue;
        *name = row->name;
        if (at + 60 < sizeof list)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", matches ? ", " : "", row->name);
        matches++;
    }
    if (matches == 1) return KV_OK;
    if (matches) return kv_fail(&s->err, KV_BAD_ARG, "Ambiguous setting \"%.60s\": %s.", word, list);
    return kv_fail(&s->err, KV_NOT_FOUND, "No setting \"%.60s\".  Try \"info settings\".%s%s%s", word,
        near ? "  Did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static struct reaction set_pairs(struct session *s, const char *args)
{
    struct line_words words;
    const char *names[LINE_WORDS], *values[LINE_WORDS];
    int n = 0;
    if (line_split(args, &words, &s->err)) return failed(s);
    for (int i = 0; i < words.count;) {
        if (set_find(s, words.word[i++], &names[n])) return failed(s);
        if (i < words.count && !strcmp(words.word[i], "=")) i++;
        if (i == words.count) {
            const struct kv_setting *row = NULL;
            for (int k = 0; (row = kv_setting_at(k)) && strcmp(row->name, names[n]);) k++;
            return refuse(
                s, KV_BAD_ARG, "Argument required (value of %s: %.300s).", names[n], row ? row->legal : "");
        }
        if (!strcmp(names[n], "policy.profile") && strcmp(words.word[i], "none") && profile_admit(s, words.word[i]))
            return failed(s);
        values[n++] = words.word[i++];
    }
    return kv_set(s->engine, names, values, n, &s->err) ? failed(s) : CHANGED;
}

/* What no row of the set group takes: $variables and NAME VALUE pairs. */
struct reaction cmd_set(struct session *s, const char *args)
{
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (NAME VALUE; \"info settings\" lists them).");
    if (*args == '$') return cmd_set_var(s, args);
    size_t n = strcspn(args, " \t");
    if (!memchr(args, '.', n))
        return refuse(
            s, KV_NOT_FOUND, "Undefined set command: \"%.*s\".  Try \"help set\".", (int)kv_min(n, 60), args);
    return set_pairs(s, args);
}

/* Whether the line is "tuned FILE [NAME VALUE]...", where the file's name is short for policy.profile FILE. */
static bool names_profile(const char *args)
{
    struct line_words words;
    struct kv_error ignored;
    if (line_split(args, &words, &ignored)) return false;
    int pairs = words.count;
    for (int i = 0; i < words.count; i++) pairs -= !strcmp(words.word[i], "=");
    return pairs > 0 && pairs % 2 == 0 && !strcmp(words.word[0], "tuned");
}

/* set policy PRESET [NAME VALUE]... */
struct reaction cmd_set_policy(struct session *s, const char *args)
{
    char line[1100];
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (name of a preset).");
    if (names_profile(args))
        snprintf(line, sizeof line, "policy.preset tuned policy.profile %s", args + strlen("tuned"));
    else
        snprintf(line, sizeof line, "policy.preset %s", args);
    return set_pairs(s, line);
}

static void show_setting(struct session *s, const char *name)
{
    char value[200];
    if (kv_get(s->engine, name, value, sizeof value, &s->err)) return;
    rows_new(s);
    rows_text(s, "name", name);
    rows_text(s, "value", value);
    fprintf(s->out, "%-20s %s\n", name, value);
}

static void show_room(struct session *s, const char *prefix)
{
    const struct kv_setting *row;
    for (int i = 0; (row = kv_setting_at(i)); i++)
        if (!strncmp(row->name, prefix, strlen(prefix))) show_setting(s, row->name);
}

struct reaction cmd_show(struct session *s, const char *args)
{
    const char *name;
    size_t n = strlen(args);
    if (!n)
        show_room(s, "");
    else if (!strcmp(args, "engine") || !strcmp(args, "decode") || !strcmp(args, "judge"))
        show_room(s, args);
    else if (!memchr(args, '.', n))
        return refuse(s, KV_NOT_FOUND, "Undefined show command: \"%.60s\".  Try \"help show\".", args);
    else if (set_find(s, args, &name))
        return failed(s);
    else
        show_setting(s, name);
    return DONE;
}

struct reaction cmd_info_settings(struct session *s, const char *args)
{
    (void)args;
    const struct kv_setting *row;
    for (int i = 0; (row = kv_setting_at(i)); i++) {
        struct kv_setting copy = *row;
        char value[200], legal[300];
        snprintf(legal, sizeof legal, "%s", copy.legal);
        if (kv_get(s->engine, copy.name, value, sizeof value, &s->err)) return failed(s);
        rows_new(s);
        rows_text(s, "name", copy.name);
        rows_text(s, "value", value);
        rows_text(s, "help", copy.help);
        rows_text(s, "legal", legal);
        fprintf(s->out, "%-20s %-10s %s\n%31s %s\n", copy.name, value, copy.help, "", legal);
    }
    return DONE;
}

/* --- settings of the prompt itself ------------------------------------------------------------------------------------- */

enum kv_status set_switch(struct session *s, const char *args, bool *to)
{
    if (strcmp(args, "on") && strcmp(args, "off"))
        return kv_fail(&s->err, KV_BAD_ARG, "\"on\" or \"off\" expected.");
    *to = !strcmp(args, "on");
    return KV_OK;
}

struct reaction cmd_set_confirm(struct session *s, const char *args)
{
    return set_switch(s, args, &s->pref.confirm) ? failed(s) : DONE;
}

struct reaction cmd_set_trace(struct session *s, const char *args)
{
    return set_switch(s, args, &s->pref.trace) ? failed(s) : DONE;
}

/* GDB's pagination, height and width, which stand in many an init file: here output is never paged. */
struct reaction cmd_set_paging(struct session *s, const char *args)
{
    bool ignored;
    long long lines;
    if (!strcmp(args, "unlimited")) return DONE;
    if (!strcmp(s->path, "set pagination")) return set_switch(s, args, &ignored) ? failed(s) : DONE;
    return line_integer(args, 0, 1000000000, "a number of lines or columns", &lines, &s->err) ? failed(s) : DONE;
}

struct reaction cmd_show_confirm(struct session *s, const char *args)
{
    (void)args;
    fprintf(s->out, "Whether to confirm potentially dangerous operations is %s.\n", s->pref.confirm ? "on" : "off");
    return DONE;
}

struct reaction cmd_show_trace(struct session *s, const char *args)
{
    (void)args;
    fprintf(s->out, "State of command tracing is %s.\n", s->pref.trace ? "on" : "off");
    return DONE;
}

struct reaction cmd_show_version(struct session *s, const char *args)
{
    (void)args;
    fprintf(s->out, "kvdbg %s\n", KVDBG_VERSION);
    return DONE;
}

/* --- model and prompt ---------------------------------------------------------------------------------------------------- */

static void describe_prompt(struct session *s)
{
    struct kv_array tok;
    size_t n = kv_value(s->engine, "tok", &tok, &s->err) ? 0 : tok.dim[0];
    fprintf(s->out, "Prompt: %s, %zu bytes, %zu tokens (%s)%s\n", s->prompt_name, s->prompt_bytes, n,
        s->prompt_ids ? "token ids"
        : s->chat     ? "chat template"
                      : "plain text",
        s->question ? ", and a question" : "");
}

struct reaction cmd_prompt(struct session *s, const char *args)
{
    struct line_words words;
    struct reaction r = CHANGED;
    if (line_split(args, &words, &s->err)) return failed(s);
    if (!words.count) {
        if (!s->prompt_name)
            return refuse(s, KV_BAD_ARG, "Argument required (FILE, -text TEXT, -ids LIST, or $NAME of a text).");
        describe_prompt(s);
        return DONE;
    }
    if (!strcmp(words.word[0], "-text")) {
        if (words.count != 2) return refuse(s, KV_BAD_ARG, "prompt -text takes one quoted text.");
        r.status = session_prompt(s, "(text)", words.word[1], strlen(words.word[1]), s->question);
    } else if (!strcmp(words.word[0], "-ids")) {
        if (words.count == 1) return refuse(s, KV_BAD_ARG, "prompt -ids takes token ids, or a FILE of them.");
        r.status = session_prompt_ids(s, words.count == 2 ? words.word[1] : args + strspn(args + 4, " \t") + 4);
    } else if (*args == '$') {
        struct value v;
        r.status = expr_text(s, args, &v, &s->err);
        if (!r.status && v.kind != VALUE_TEXT)
            r.status = kv_fail(&s->err, KV_BAD_ARG, "%.60s is no text; a prompt must be one.", args);
        if (!r.status) r.status = session_prompt(s, args, v.text, strlen(v.text), s->question);
        value_free(&v);
        if (r.status == KV_BAD_ARG) return r;
    } else {
        if (words.count != 1) return refuse(s, KV_BAD_ARG, "prompt takes one FILE; quote a name with blanks.");
        r.status = session_prompt_file(s, words.word[0]);
    }
    if (r.status) {
        r.exit = r.status == KV_NO_MEMORY ? 5 : 4;
        return r;
    }
    describe_prompt(s);
    return r;
}

struct reaction cmd_question(struct session *s, const char *args)
{
    struct line_words words;
    const char *question = *args ? args : NULL;
    if (*args == '"') {
        if (line_split(args, &words, &s->err)) return failed(s);
        if (words.count == 1) question = words.word[0];
    }
    if (question && !*question)
        return refuse(s, KV_BAD_ARG, "The question is empty; \"question -none\" takes it away.");
    if (question && !strcmp(question, "-none"))
        question = NULL;
    else if (!question) {
        fprintf(s->out, s->question ? "Question: %s\n" : "There is no question.\n", s->question);
        return DONE;
    }
    if (kv_core_path(s->engine)) return refuse(s, KV_NOT_NOW, "%s", KV_CORE_CANNOT_RUN);
    if (session_ask_again(s, question)) return failed(s);
    describe_prompt(s);
    return CHANGED;
}

struct reaction cmd_file(struct session *s, const char *args)
{
    struct line_words words;
    struct reaction r = CHANGED;
    if (line_split(args, &words, &s->err)) return failed(s);
    if (words.count != 1)
        return refuse(
            s, KV_BAD_ARG, "Argument required (model: a GGUF file, a Hugging Face folder or synthetic:NAME).");
    r.status = session_model(s, words.word[0]);
    if (r.status) {
        r.exit = r.status == KV_NO_MEMORY ? 5 : 4;
        return r;
    }
    free(s->prompt_name);
    s->prompt_name = NULL;
    fprintf(s->out, "Model: %s; settings are at their defaults, and it has no prompt yet.\n", s->facts.path);
    return r;
}

/* --- focus ------------------------------------------------------------------------------------------------------------------ */

static void show_focus(struct session *s)
{
    char quoted[64] = "";
    struct kv_array tok;
    fprintf(s->out, "[Focus: layer %d, head %d, token %d", s->layer, s->head, s->token);
    if (s->prompt_name && !kv_value(s->engine, "tok", &tok, &s->err) && (size_t)s->token < tok.dim[0]) {
        size_t n;
        const char *bytes = kv_token_bytes(s->engine, ((const int32_t *)tok.data)[s->token], &n);
        fprintf(s->out, " %s", line_quote(bytes ? bytes : "", n, quoted, sizeof quoted));
    }
    fprintf(s->out, "]\n");
}

struct reaction cmd_kv(struct session *s, const char *args)
{
    struct line_words words;
    int layer = s->layer, head = s->head, token = s->token;
    if (line_split(args, &words, &s->err)) return failed(s);
    for (int i = 0; i < words.count; i += 2) {
        struct value v;
        struct kv_array tok;
        int *to;
        long long limit;
        const char *word = words.word[i];
        if (!strcmp(word, "layer"))
            to = &layer, limit = s->facts.n_layer;
        else if (!strcmp(word, "head"))
            to = &head, limit = s->facts.n_head;
        else if (!strcmp(word, "token")) {
            if (session_value(s, "tok", &tok)) return failed(s);
            to = &token;
            limit = (long long)tok.dim[0];
        } else
            return refuse(s, KV_BAD_ARG, "\"%.40s\" is none of layer, head, token.", word);
        if (i + 1 == words.count) return refuse(s, KV_BAD_ARG, "Argument required (number of the %s).", word);
        if (expr_text(s, words.word[i + 1], &v, &s->err)) return failed(s);
        double x = v.kind == VALUE_NUMBER && !v.n_dim ? v.number[0] : -1;
        value_free(&v);
        if (!(x >= 0 && x < (double)limit)) {
            char title[8];
            snprintf(title, sizeof title, "%c%s", word[0] - 'a' + 'A', word + 1);
            return refuse(s, KV_BAD_ARG, "%s %.40s out of range; %s has %lld (0-%lld).", title, words.word[i + 1],
                to == &token ? "the prompt" : "model", limit, limit - 1);
        }
        *to = (int)x;
    }
    s->layer = layer;
    s->head = head;
    s->token = token;
    s->list_next = -1;
    show_focus(s);
    return words.count ? CHANGED : DONE;
}
