/* Signals, running one line, and what becomes of its failure. */
#include "inspector/session.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core.h"
#include "inspector/stop/at_stop.h"
#include "inspector/language/define.h"
#include "inspector/expr/display.h"
#include "inspector/policy/edits.h"
#include "inspector/expr/examine.h"
#include "inspector/language/help.h"
#include "inspector/json/jsonl.h"
#include "inspector/lab/runs.h"
#include "inspector/language/line.h"
#include "inspector/language/logging.h"
#include "inspector/language/lookup.h"
#include "inspector/time/marks.h"
#include "inspector/progress.h"
#include "inspector/stop/stop_commands.h"

#define STACK_MOST (5L << 20) /* of a thread's 8 MiB, for lines within lines: the rest is for what a line does */

const struct reaction DONE = { KV_OK, 0, 0 };
const struct reaction CHANGED = { KV_OK, REACT_CHANGED, 0 };
const struct reaction STEPPED = { KV_OK, REACT_STEPPED, 0 };

struct reaction failed(struct session *s)
{
    return (struct reaction){ .status = s->err.code ? s->err.code : KV_BAD_ARG };
}

struct reaction refuse(struct session *s, enum kv_status code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    s->err.code = code;
    vsnprintf(s->err.text, sizeof s->err.text, fmt, args);
    va_end(args);
    return (struct reaction){ .status = code };
}

/* --- signals ------------------------------------------------------------------------------------------------------ */

/* Atomic, for the screen's thread says it too. */
static atomic_bool interrupted;
static struct kv_engine *_Atomic interruptible;
static atomic_bool busy; /* a command runs: at the prompt there is nothing to stop */

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = true;
    if (busy && interruptible) kv_stop(interruptible);
}

void session_interrupt(void) { on_interrupt(SIGINT); }

bool session_interrupted(void) { return atomic_exchange(&interrupted, false); }

struct kv_engine *session_interrupts(struct kv_engine *engine)
{
    struct kv_engine *before = interruptible;
    interruptible = engine;
    return before;
}

void session_catch_signals(struct session *s)
{
    struct sigaction action = { .sa_handler = on_interrupt };
    interruptible = s->engine;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file that grows too long is a failed write, which says so */
}

/* --- the end ------------------------------------------------------------------------------------------------------- */

void session_close(struct session *s)
{
    edits_forget(s);
    runs_forget_notes(s);
    interruptible = NULL;
    for (struct variable *v = s->variables, *next; v; v = next) {
        next = v->next;
        value_free(&v->value);
        free(v->name);
        free(v);
    }
    for (size_t i = 0; i < s->n_history; i++) value_free(&s->history[i]);
    free(s->history);
    free(s->set);
    stops_free(&s->stops);
    display_free(s);
    examine_free(s);
    marks_forget(s);
    define_free(s);
    logging_free(s);
    free(s->safe_path);
    free(s->todo);
    free(s->written);
    free(s->policy);
    free(s->prompt);
    free(s->prompt_name);
    free(s->question);
    kv_engine_close(s->engine);
    kv_model_close(s->model);
}

/* --- how results were obtained -------------------------------------------------------------------------------------- */

/* Whether the user's edits had a part in what compress decided. */
static bool mode_edited(struct session *s)
{
    int ignored;
    return kv_started(s->engine) && kv_policy_edits(s->engine, KV_POLICY_COMPRESSED, 0, NULL, &ignored);
}

const char *session_mode(struct session *s)
{
    static char text[160];
    char described[400], precision[32];
    struct kv_error ignored;
    kv_describe(s->engine, described, sizeof described);
    if (kv_get(s->engine, "engine.precision", precision, sizeof precision, &ignored)) precision[0] = '\0';
    if (kv_started(s->engine))
        snprintf(text, sizeof text, "%s, %.*s%s%s", precision, (int)strcspn(described, " ;"), described,
            mode_edited(s) ? ", edited" : "", s->facts.synthetic ? ", synthetic weights: timing only" : "");
    else
        snprintf(
            text, sizeof text, "%s%s", precision, s->facts.synthetic ? ", synthetic weights: timing only" : "");
    return text;
}

const char *session_mark(const struct session *s) { return s->facts.synthetic ? "  (synthetic weights)" : ""; }

/* --- one line ------------------------------------------------------------------------------------------------------ */

static struct reaction check_needs(struct session *s, const struct command *row, const char *path)
{
    struct kv_where w;
    if (row->needs >= NEEDS_PROMPT && !s->prompt_name)
        return refuse(
            s, KV_NOT_NOW, "No prompt.  Use \"prompt FILE\" or \"prompt -text TEXT\" (options -p, --text).");
    if (row->needs >= NEEDS_RUN && !kv_started(s->engine))
        return refuse(s, KV_NOT_NOW, "The request is not being run.");
    bool moves = row->group == GROUP_RUNNING && row->needs && strcmp(row->name, "when");
    if (moves && kv_core_path(s->engine)) return refuse(s, KV_NOT_NOW, "%s", KV_CORE_CANNOT_RUN);
    kv_where(s->engine, &w);
    if (row->needs >= NEEDS_PREFILL && w.phase <= KV_PHASE_prefill)
        return refuse(
            s, KV_NOT_NOW, "%s is not available before the prefill is done (now in prefill:%d).", path, w.pass);
    if (row->needs >= NEEDS_COMPRESSED && w.phase == KV_PHASE_compress && !w.pass)
        return refuse(
            s, KV_NOT_NOW, "%s is not available before compress is done (now in compress:%d).", path, w.pass);
    return DONE;
}

/* Whether a row, whatever an alias calls it, writes files or starts programs. */
static bool writes(const struct command *row)
{
    static const char *const names[] = { "export", "save", "shell", "pipe", "gcore", "generate-core-file",
        "set logging" };
    for (size_t i = 0; i < KV_COUNT(names); i++) {
        const struct command *known;
        const char *args;
        char path[96];
        struct kv_error ignored;
        if (lookup_line(command_table, NULL, names[i], &known, &args, path, sizeof path, &ignored) || *args)
            continue;
        if (known->run == row->run) return true;
        for (const struct command *sub = known->sub; sub && sub->name; sub++)
            if (sub->run == row->run) return true;
    }
    return false;
}

/* A resolved line: its needs, its hooks and itself. */
static struct reaction run_row(struct session *s, const struct command *row, const char *args)
{
    char path[sizeof s->path];
    memcpy(path, s->path, sizeof path);
    struct reaction (*run)(struct session * s, const char *args) = row->run; /* a define may move the rows */
    struct reaction r = check_needs(s, row, path);
    if (!r.status && s->options->readonly && writes(row))
        r = refuse(s, KV_UNSUPPORTED, "%s is not allowed with --readonly.", path);
    if (!r.status) r = define_hook(s, "hook", path);
    if (r.status) return r;
    struct edits_watch watch = edits_before(s);
    r = run(s, args);
    edits_after(s, &watch, path, args);
    if (r.flags & REACT_QUIT) {
        s->leaving = true;
        s->exit_code = r.exit;
    }
    if (r.status || s->leaving) return r;
    if ((r.flags & REACT_STEPPED) && kv_started(s->engine)) {
        jsonl_stop(s);
        at_stop(s);
        struct reaction lines = stop_commands_run(s);
        if (lines.status || s->leaving) return lines;
    }
    struct reaction hook = define_hook(s, "hookpost", path);
    return hook.status ? hook : r;
}

static struct reaction run_line(struct session *s, const char *text)
{
    const struct command *row;
    const char *args;
    char repeat[sizeof s->repeat] = "";
    if (lookup_line(session_table(s), command_pins, text, &row, &args, s->path, sizeof s->path, &s->err)) {
        s->repeat[0] = '\0';
        return failed(s);
    }
    if (!row->run) { /* a group alone lists its members, as in GDB */
        char path[sizeof s->path];
        memcpy(path, s->path, sizeof path);
        s->repeat[0] = '\0';
        return cmd_help(s, path);
    }
    if (row->repeat == REPEAT_SAME) snprintf(repeat, sizeof repeat, "%s", text);
    if (row->repeat == REPEAT_BARE) snprintf(repeat, sizeof repeat, "%s", s->path);
    bool outer = busy;
    if (!outer) session_interrupted();
    if (!outer) s->dont_repeat = false;
    busy = true;
    struct reaction r = run_row(s, row, args);
    busy = outer;
    if (outer) r.flags &= ~(unsigned)REACT_STEPPED; /* the line within has done what a stop asks for */
    memcpy(s->repeat, repeat, sizeof repeat);
    if (!outer && s->dont_repeat) s->repeat[0] = '\0';
    return r;
}

static struct reaction run_command(struct session *s, const char *line)
{
    if (strlen(line) >= sizeof s->command)
        return refuse(
            s, KV_BAD_ARG, "The line has %zu bytes; %zu are the limit.", strlen(line), sizeof s->command - 1);
    snprintf(s->command, sizeof s->command, "%s", line);
    for (size_t n = strlen(s->command); n && strchr(" \t\r", s->command[n - 1]);) s->command[--n] = '\0';
    if (s->pref.trace && strncmp(s->command, "echo", 4)) {
        for (int i = 0; i <= s->nest; i++) fputc('+', s->out);
        fprintf(s->out, "%s\n", s->command);
    }
    char *text = kv_strdup(s->command);
    if (!text) return refuse(s, KV_NO_MEMORY, "No memory for a line.");
    struct reaction r = run_line(s, text);
    free(text);
    if (!r.status && (fflush(s->out) || ferror(s->out))) {
        clearerr(s->out);
        if (s->piped) return r;
        return refuse(s, KV_IO, "Cannot write the output: %s.", strerror(errno));
    }
    return r;
}

struct reaction session_line(struct session *s, const char *line)
{
    struct jsonl_frame frame;
    const char *here = __builtin_frame_address(0), *outer = s->stack;
    line += strspn(line, " \t");
    if (!*line || *line == '#') return DONE;
    if (outer && outer - here > STACK_MOST)
        return refuse(s, KV_BAD_ARG, "Commands are nested too deeply -- command aborted.");
    if (!outer) s->stack = here;
    bool answered = jsonl_begin(s, &frame, line);
    struct reaction r = run_command(s, line);
    if (answered) jsonl_end(s, &frame, &r);
    s->stack = outer;
    return r;
}

struct reaction session_do(struct session *s, const char *line)
{
    s->err = (struct kv_error){ 0 };
    struct reaction r = session_line(s, line);
    if (r.status && s->err.text[0]) session_complain(s);
    if (r.status && !s->exit) s->exit = session_exit(&r);
    return r;
}

int session_exit(const struct reaction *r)
{
    if (r->exit) return r->exit;
    switch (r->status) {
    case KV_OK: return 0;
    case KV_NO_MEMORY: return 5;
    case KV_EVENT: return 6;
    case KV_STOPPED: return 130;
    default: return 1;
    }
}

static void complain_places(const struct script_place *p)
{
    if (!p) return;
    complain_places(p->outer);
    fprintf(stderr, "%s:%d: Error in sourced command file:\n", p->file, p->line);
}

void session_complain(struct session *s)
{
    if (!*s->failure) memcpy(s->failure, s->err.text, sizeof s->failure);
    if (s->json) {
        jsonl_complain(s, session_exit(&(struct reaction){ .status = s->err.code }));
        return;
    }
    progress_clear();
    if (s->mid_line) fputc('\n', s->out);
    s->mid_line = false;
    fflush(s->out);
    complain_places(s->place);
    fprintf(stderr, "%s\n", s->err.text);
    logging_error(s, s->err.text);
    if (s->place && kv_started(s->engine)) {
        struct kv_where w;
        char where[64];
        kv_where(s->engine, &w);
        location_where(&w, where, sizeof where);
        fprintf(stderr, "(at %s, tick %llu; focus layer %d head %d)\n", where, (unsigned long long)w.tick, s->layer,
            s->head);
    }
}

bool session_ask(struct session *s, const char *fmt, ...)
{
    if (!s->pref.confirm) return true;
    va_list args;
    va_start(args, fmt);
    if (s->ask) {
        char question[512];
        size_t n = (size_t)vsnprintf(question, sizeof question - 16, fmt, args);
        va_end(args);
        if (n > sizeof question - 17) n = sizeof question - 17;
        memcpy(question + n, "(y or n) ", 10);
        return s->ask(s->ask_ctx, question);
    }
    vfprintf(s->out, fmt, args);
    va_end(args);
    fprintf(s->out, "(y or n) ");
    if (!s->terminal) {
        fprintf(s->out, "[answered Y; input not from terminal]\n");
        return true;
    }
    char answer[16];
    for (;;) {
        fflush(s->out);
        if (!fgets(answer, sizeof answer, stdin)) return true;
        if (answer[0] == 'y' || answer[0] == 'Y') return true;
        if (answer[0] == 'n' || answer[0] == 'N') return false;
        fprintf(s->out, "Please answer y or n.\n(y or n) ");
    }
}
