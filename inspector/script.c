/* Scripts and the commands that only make sense in them. */
#include "inspector/script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "inspector/line.h"

static const char *const blocks[] = { "if", "while", "define", "document", "commands", "python" };

const char *script_block_word(const char *line)
{
    line += strspn(line, " \t");
    size_t n = strcspn(line, " \t\n\r");
    for (size_t i = 0; i < KV_COUNT(blocks); i++)
        if (strlen(blocks[i]) == n && !memcmp(line, blocks[i], n)) return blocks[i];
    return NULL;
}

static bool is_word(const char *line, const char *word)
{
    line += strspn(line, " \t");
    size_t n = strlen(word);
    return !strncmp(line, word, n) && !line[n + strspn(line + n, " \t\r\n")];
}

/* One line of any length without its newline, growing *line; a trailing backslash joins the next line. */
static bool read_line(FILE *f, char **line, size_t *cap, int *count)
{
    ssize_t n = getline(line, cap, f);
    if (n < 0) return false;
    ++*count;
    while (n > 1 && (*line)[n - 1] == '\n' && (*line)[n - 2] == '\\') {
        char *more = NULL;
        size_t more_cap = 0;
        ssize_t m = getline(&more, &more_cap, f);
        if (m < 0) {
            free(more);
            break;
        }
        ++*count;
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

/* Whether the block that `line` opens also ends; the reader is left behind it. */
static bool skip_block(FILE *f, char **line, size_t *cap, int *count)
{
    for (int depth = 1; depth > 0;) {
        if (!read_line(f, line, cap, count)) return false;
        if (script_block_word(*line)) depth++;
        if (is_word(*line, "end")) depth--;
    }
    return true;
}

static struct reaction run_lines(struct session *s, FILE *f, struct script_place *place)
{
    char *line = NULL;
    size_t cap = 0;
    struct reaction first = DONE;
    int count = 0;
    while (!s->leaving && read_line(f, &line, &cap, &count)) {
        struct reaction r;
        const char *block = script_block_word(line);
        place->line = count;
        s->place = place;
        if (strlen(line) != strcspn(line, "\001\002\003\004\005\006\016\017")) {
            r = refuse(s, KV_BAD_FILE, "The file has control characters; it is no script.");
        } else if (block && !skip_block(f, &line, &cap, &count)) {
            r = refuse(s, KV_BAD_FILE,
                "The file ends inside the block that `%s' begins in line %d; `end' is missing.", block,
                place->line);
        } else if (block) {
            r = refuse(s, KV_UNSUPPORTED, "`%s' is not there yet: scripts run line by line.", block);
        } else {
            r = session_line(s, line);
        }
        bool inner = r.status && !s->err.text[0]; /* a sourced file has already said why */
        if (r.status && !inner) session_complain(s);
        s->err = (struct kv_error){ 0 };
        s->place = place->outer;
        if (r.status && !first.status) first = r;
        if (r.status && (!s->options->keep_going || r.status == KV_STOPPED)) break;
    }
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
    struct reaction r = run_lines(s, f, &place);
    fclose(f);
    return r;
}

struct reaction cmd_source(struct session *s, const char *args)
{
    struct line_words words;
    if (line_split(args, &words, &s->err)) return failed(s);
    if (words.count != 1) return refuse(s, KV_BAD_ARG, "Argument required (file of commands to run).");
    struct reaction r = script_file(s, words.word[0]);
    if (s->err.text[0]) r.exit = 0; /* a missing file is a failed command here, not a bad command line */
    s->repeat[0] = '\0';
    return r;
}

struct reaction cmd_block(struct session *s, const char *args)
{
    (void)args;
    return refuse(s, KV_UNSUPPORTED, "`%.*s' is not there yet: commands run line by line.",
        (int)strcspn(s->command, " \t"), s->command);
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
