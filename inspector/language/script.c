/* Running files and blocks of commands. */
#include "inspector/language/script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "inspector/language/define.h"
#include "inspector/language/line.h"
#include "inspector/picture/rerun.h"

/* --- where lines come from ------------------------------------------------------------------------------------------- */

/* One line of a file without its newline; a trailing backslash joins the next line. */
static bool file_line(struct line_source *src, char **line, size_t *cap)
{
    FILE *f = src->ctx;
    ssize_t n = getline(line, cap, f);
    if (n < 0) return false;
    ++src->line;
    while (n > 1 && (*line)[n - 1] == '\n' && (*line)[n - 2] == '\\') {
        char *more = NULL;
        size_t more_cap = 0;
        ssize_t m = getline(&more, &more_cap, f);
        if (m < 0) {
            free(more);
            break;
        }
        ++src->line;
        char *joined = realloc(*line, (size_t)(n - 2 + m) + 1);
        if (joined) {
            memcpy(joined + n - 2, more, (size_t)m + 1);
            *line = joined;
            *cap = (size_t)(n - 2 + m) + 1;
            n += m - 2;
        }
        free(more);
        if (!joined) return false;
    }
    if (n && (*line)[n - 1] == '\n') (*line)[n - 1] = '\0';
    return true;
}

enum kv_status script_body(struct session *s, enum block_kind kind, struct body *out)
{
    *out = (struct body){ 0 };
    const struct block_line *pending = s->pending;
    s->pending = NULL;
    if (pending) {
        out->body = pending->body;
        out->other = pending->other;
        return KV_OK;
    }
    struct line_source *src = s->source;
    if (!src)
        return kv_fail(&s->err, KV_BAD_ARG, "`%.*s' needs the lines that follow it: %s.",
            (int)strcspn(s->command, " \t("), s->command,
            s->json ? "send them in the same cmd, with \\n between them"
                    : "put them into a file (-x) or type them at the prompt");
    struct block_line opener = { .text = s->command, .number = src->line };
    enum kv_status st = block_read(s, src, kind, &opener, &s->err);
    if (st) return st;
    out->body = opener.body;
    out->other = opener.other;
    out->owned = kv_alloc(1, sizeof *out->owned);
    if (out->owned) {
        *out->owned = (struct block_line){ .body = opener.body, .other = opener.other };
        return KV_OK;
    }
    block_lines_free(opener.body);
    block_lines_free(opener.other);
    return kv_fail(&s->err, KV_NO_MEMORY, "No memory for a block of lines.");
}

enum kv_status script_body_take(struct body *b, struct block_line **out, struct kv_error *err)
{
    if (!b->owned) {
        enum kv_status st = block_lines_copy(b->body, out, err);
        if (st) block_lines_free(*out);
        return st;
    }
    *out = b->owned->body;
    b->owned->body = NULL;
    return KV_OK;
}

void script_body_free(struct body *b)
{
    block_lines_free(b->owned);
    *b = (struct body){ 0 };
}

/* --- running ------------------------------------------------------------------------------------------------------------ */

/* loop_break and loop_continue are words of a loop, not commands. */
static bool loop_word(struct session *s, const char *text)
{
    if (!s->loops) return false;
    s->flow = block_is(text, "loop_break") ? FLOW_BREAK : block_is(text, "loop_continue") ? FLOW_CONTINUE : FLOW_ON;
    return s->flow != FLOW_ON;
}

struct reaction script_lines(struct session *s, const struct block_line *l, bool stepped)
{
    struct reaction r = DONE;
    uint64_t stops = s->n_stops;
    for (; l && !s->leaving; l = l->next) {
        if (s->place && !s->calls) s->place->line = l->number;
        if (session_interrupted()) return refuse(s, KV_STOPPED, "Interrupted.");
        if (loop_word(s, l->text)) return r;
        char *text = define_arguments(s, l->text);
        if (!text) return failed(s);
        s->pending = l->body || l->other || block_opens(s, l->text) ? l : NULL;
        s->nest++;
        r = session_line(s, text);
        s->nest--;
        s->pending = NULL;
        free(text);
        if (r.status || (r.flags & REACT_QUIT) || s->flow != FLOW_ON) return r;
        if (stepped && s->n_stops != stops) return DONE;
    }
    return DONE;
}

static enum kv_status condition(struct session *s, const char *args, bool *yes)
{
    struct value v;
    enum kv_status st = expr_text(s, args, &v, &s->err);
    if (!st) st = value_true(&v, yes, &s->err);
    value_free(&v);
    return st;
}

struct reaction cmd_if(struct session *s, const char *args)
{
    struct body b;
    bool yes = false;
    struct reaction r;
    if (script_body(s, BLOCK_IF, &b)) return failed(s);
    if (!*args)
        r = refuse(s, KV_BAD_ARG, "if command requires an argument.");
    else if (condition(s, args, &yes))
        r = failed(s);
    else
        r = script_lines(s, yes ? b.body : b.other, false);
    script_body_free(&b);
    return r;
}

struct reaction cmd_while(struct session *s, const char *args)
{
    struct body b;
    bool yes = false;
    struct reaction r = DONE;
    if (script_body(s, BLOCK_WHILE, &b)) return failed(s);
    if (!*args) r = refuse(s, KV_BAD_ARG, "while command requires an argument.");
    s->loops++;
    while (!r.status && !s->leaving) {
        if (condition(s, args, &yes)) {
            r = failed(s);
            break;
        }
        if (!yes) break;
        if (session_interrupted()) {
            r = refuse(s, KV_STOPPED, "Interrupted.");
            break;
        }
        r = script_lines(s, b.body, false);
        bool out = s->flow == FLOW_BREAK;
        s->flow = FLOW_ON;
        if (out) break;
    }
    s->loops--;
    script_body_free(&b);
    return r;
}

struct reaction cmd_end(struct session *s, const char *args)
{
    (void)args;
    return refuse(s, KV_BAD_ARG, "This command cannot be used at the top level.");
}

struct reaction script_text(struct session *s, const char *text)
{
    struct line_source src;
    struct block_line *lines;
    block_text_source(&src, &text);
    if (block_read_all(s, &src, &lines, &s->err)) return failed(s);
    struct line_source *outer = s->source;
    s->source = NULL;
    s->calls++;
    struct reaction r = script_lines(s, lines, false);
    s->calls--;
    s->source = outer;
    block_lines_free(lines);
    return r;
}

static struct reaction one_line(struct session *s, const char *line)
{
    if (strlen(line) != strcspn(line, "\001\002\003\004\005\006\016\017"))
        return refuse(s, KV_BAD_FILE, "The file has control characters; it is no script.");
    return session_line(s, line);
}

static struct reaction run_source(struct session *s, struct line_source *src, struct script_place *place)
{
    char *line = NULL;
    size_t cap = 0;
    struct reaction first = DONE;
    struct line_source *outer = s->source;
    int calls = s->calls;
    s->calls = 0;
    while (!s->leaving && src->read(src, &line, &cap)) {
        place->line = src->line;
        s->place = place;
        s->source = src;
        struct reaction r = one_line(s, line);
        bool inner = r.status && !s->err.text[0]; /* a sourced file has already said why */
        if (r.status && !inner) session_complain(s);
        s->err = (struct kv_error){ 0 };
        s->place = place->outer;
        if (r.status && !first.status) first = r;
        if (r.status && (!s->options->keep_going || r.status == KV_STOPPED)) break;
    }
    s->source = outer;
    s->calls = calls;
    free(line);
    return first;
}

struct reaction script_file(struct session *s, const char *path)
{
    struct script_place place = { path, 0, s->place };
    struct stat info;
    int depth = 0;
    for (const struct script_place *p = s->place; p; p = p->outer) depth++;
    if (depth >= SCRIPT_DEPTH)
        return refuse(s, KV_BAD_ARG, "Scripts source each other more than %d deep.", SCRIPT_DEPTH);
    FILE *f = fopen(path, "r");
    if (f && !fstat(fileno(f), &info) && S_ISDIR(info.st_mode)) {
        fclose(f);
        f = NULL;
        errno = EISDIR;
    }
    if (!f) {
        struct reaction r = refuse(s, KV_IO, "%.300s: %s.", path, strerror(errno));
        r.exit = 2;
        return r;
    }
    struct line_source src = { .name = path, .read = file_line, .ctx = f };
    struct reaction r = run_source(s, &src, &place);
    fclose(f);
    return r;
}

struct reaction cmd_source(struct session *s, const char *args)
{
    struct line_words words;
    if (line_split(args, &words, &s->err)) return failed(s);
    if (words.count && !strcmp(words.word[0], "-png")) {
        if (words.count != 2 && words.count != 3)
            return refuse(s, KV_BAD_ARG, "Argument required (PNG file with a recipe, and where to draw it again).");
        if (words.count == 3 && s->options->readonly)
            return refuse(s, KV_UNSUPPORTED, "source -png FILE TO is not allowed with --readonly.");
        return rerun_picture(s, words.word[1], words.count == 3 ? words.word[2] : NULL);
    }
    bool loud = words.count && !strcmp(words.word[0], "-v"), trace = s->pref.trace;
    if (words.count != 1 + loud) return refuse(s, KV_BAD_ARG, "Argument required (file of commands to run).");
    s->pref.trace = trace || loud;
    struct reaction r = script_file(s, words.word[loud]);
    if (loud) s->pref.trace = trace;
    if (s->err.text[0]) r.exit = 0; /* a missing file is a failed command here, not a bad command line */
    return r;
}

struct reaction cmd_echo(struct session *s, const char *args)
{
    char text[sizeof s->command];
    line_unescape(args, text);
    fputs(text, s->out);
    return DONE;
}

struct reaction cmd_assert(struct session *s, const char *args)
{
    struct expr e;
    struct value v;
    size_t used = 0;
    bool yes = false;
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (expression that must be true).");
    if (expr_parse(args, &e, &used, &s->err) || expr_eval(s, &e, &v, &s->err)) return failed(s);
    enum kv_status st = value_true(&v, &yes, &s->err);
    value_free(&v);
    if (st) return failed(s);
    const char *rest = args + used;
    struct line_words words = { 0 };
    if (*rest == ',' && line_split(rest + 1, &words, &s->err)) return failed(s);
    if (yes) return DONE;
    struct reaction r = refuse(s, KV_EVENT, "Assertion failed: %s%s%.*s.", words.count ? words.word[0] : "",
        words.count ? ": " : "", (int)used, args);
    r.exit = 3;
    return r;
}

struct reaction cmd_expect_stop(struct session *s, const char *args)
{
    size_t n = strlen(args);
    if (!n)
        return refuse(s, KV_BAD_ARG,
            "Argument required (breakpoint [N], step, start, done, interrupt, recompress, history, goto, restart, "
            "back, "
            "forward or error).");
    if (!strncmp(s->stop_reason, args, n) && (!s->stop_reason[n] || s->stop_reason[n] == ' ')) return DONE;
    struct reaction r = refuse(s, KV_EVENT, "Expected a stop by %.60s; the last was by %s.", args,
        *s->stop_reason ? s->stop_reason : "nothing");
    r.exit = 3;
    return r;
}

struct reaction cmd_quit(struct session *s, const char *args)
{
    struct reaction r = { KV_OK, REACT_QUIT, s->terminal ? 0 : s->exit };
    if (*args) {
        struct value v;
        enum kv_status st = expr_text(s, args, &v, &s->err);
        if (!st && (v.kind != VALUE_NUMBER || v.n_dim || !(v.number[0] >= 0 && v.number[0] <= 255)))
            st = kv_fail(&s->err, KV_BAD_ARG, "An exit status is a whole number in 0..255, not %.60s.", args);
        if (!st) r.exit = (int)v.number[0];
        value_free(&v);
        if (st) return failed(s);
    }
    struct kv_where w;
    kv_where(s->engine, &w);
    bool live = kv_started(s->engine) && w.phase != KV_PHASE_done && s->terminal;
    if (live && !session_ask(s,
                    "A debugging session is active.\n\n\tRequest 1 [%s, %s:%d] will be dropped.\n\nQuit anyway? ",
                    s->prompt_name, kv_phase_name[w.phase], w.pass))
        return refuse(s, KV_NOT_NOW, "Not confirmed.");
    return r;
}
