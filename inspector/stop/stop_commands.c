/* commands ... end. */
#include "inspector/stop/stop_commands.h"

#include <stdlib.h>
#include <string.h>

#include "inspector/language/line.h"
#include "inspector/language/script.h"

static bool silent(const struct stop *stop)
{
    const char *p = stop->commands ? stop->commands + strspn(stop->commands, " \t") : "";
    return !strncmp(p, "silent", 6) && strchr("\n ", p[6]);
}

bool stop_commands_silent(const struct session *s)
{
    int here = 0, quiet = 0;
    for (int i = 0; i < s->stops.count; i++) {
        here += s->stops.list[i].here;
        quiet += s->stops.list[i].here && silent(&s->stops.list[i]);
    }
    return here && quiet == here;
}

void stop_commands_note(struct session *s)
{
    size_t size = 1;
    free(s->todo);
    s->todo = NULL;
    for (int i = 0; i < s->stops.count; i++)
        if (s->stops.list[i].here && s->stops.list[i].commands) size += strlen(s->stops.list[i].commands);
    if (size == 1 || !(s->todo = kv_alloc(size, 1))) return;
    s->todo[0] = '\0';
    for (int i = 0; i < s->stops.count; i++) {
        const struct stop *stop = &s->stops.list[i];
        if (!stop->here || !stop->commands) continue;
        const char *lines = stop->commands;
        if (silent(stop)) lines += strcspn(lines, "\n") + (lines[strcspn(lines, "\n")] == '\n');
        strcat(s->todo, lines);
    }
}

struct reaction stop_commands_run(struct session *s)
{
    struct reaction r = DONE;
    if (s->acting) return r; /* the list that moved the request on comes back here */
    s->acting = true;
    struct line_source *outer = s->source;
    s->source = NULL;
    s->calls++;
    while (s->todo && !r.status && !s->leaving) {
        char *text = s->todo;
        const char *at = text;
        struct line_source src;
        struct block_line *lines;
        s->todo = NULL;
        block_text_source(&src, &at);
        if (block_read_all(s, &src, &lines, &s->err)) {
            r = failed(s);
        } else {
            r = script_lines(s, lines, true);
            block_lines_free(lines);
        }
        free(text);
    }
    s->calls--;
    s->source = outer;
    s->acting = false;
    return r;
}

/* The lines of a body as one text, each ended by a newline. */
static char *lines_text(struct session *s, const struct block_line *first)
{
    char *text = NULL;
    size_t size;
    FILE *outer = s->out, *f = open_memstream(&text, &size);
    if (!f) return NULL;
    s->out = f;
    block_print(s, first, 0);
    s->out = outer;
    fclose(f);
    return text;
}

/* Reads "N", "N-M", several of them, or nothing for the last one set; marks them. */
static enum kv_status chosen(struct session *s, const char *args, bool *mark)
{
    struct line_words words;
    struct stop *last = stops_find(&s->stops, s->stops.last_number);
    if (line_split(args, &words, &s->err)) return s->err.code;
    if (!words.count && !last)
        return kv_fail(&s->err, KV_BAD_ARG, "Argument required (one or more breakpoint numbers).");
    if (!words.count) mark[last - s->stops.list] = true;
    for (int i = 0; i < words.count; i++) {
        char *end;
        const char *word = words.word[i];
        struct value v = { 0 };
        long from = strtol(word, &end, 10), to = from;
        if (*word == '$' && !expr_text(s, word, &v, &s->err) && v.kind == VALUE_NUMBER) {
            from = to = (long)v.number[0];
            end = (char *)word + strlen(word);
        }
        value_free(&v);
        if (end != word && *end == '-') to = strtol(end + 1, &end, 10);
        if (end == word || *end || to < from)
            return kv_fail(&s->err, KV_BAD_ARG, "Bad breakpoint argument: '%.60s'.", word);
        for (long n = from; n <= to; n++) {
            struct stop *stop = n > 0 && n <= s->stops.last_number ? stops_find(&s->stops, (int)n) : NULL;
            if (!stop) return kv_fail(&s->err, KV_NOT_FOUND, "No breakpoint number %ld.", n);
            mark[stop - s->stops.list] = true;
        }
    }
    return KV_OK;
}

struct reaction cmd_commands(struct session *s, const char *args)
{
    struct body body;
    bool *mark = kv_alloc((size_t)s->stops.count + 1, sizeof *mark);
    if (!mark) return refuse(s, KV_NO_MEMORY, "No memory for the numbers.");
    enum kv_status st = chosen(s, args, mark);
    struct kv_error why = s->err;
    if (st && !s->pending && !s->source) { /* nothing follows that would have to be read past */
        free(mark);
        return failed(s);
    }
    if (!st && s->terminal && !s->place)
        fprintf(s->out, "Type commands for breakpoint(s) %s, one per line.\nEnd with a line saying just \"end\".\n",
            *args ? args : "just set");
    char *text = NULL;
    if (!script_body(s, BLOCK_LINES, &body)) {
        text = lines_text(s, body.body);
        script_body_free(&body);
        s->err = why;
    } else {
        st = s->err.code;
    }
    for (int i = 0; !st && text && i < s->stops.count; i++) {
        if (!mark[i]) continue;
        char *copy = *text ? kv_strdup(text) : NULL;
        if (*text && !copy) st = kv_fail(&s->err, KV_NO_MEMORY, "No memory for the lines.");
        free(s->stops.list[i].commands);
        s->stops.list[i].commands = copy;
    }
    free(text);
    free(mark);
    return st ? failed(s) : DONE;
}
