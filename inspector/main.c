/* kvdbg: from the command line to an exit status. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inspector/stop/events.h"
#include "inspector/json/for_each.h"
#include "inspector/language/init.h"
#include "inspector/json/jsonl.h"
#include "inspector/options.h"
#include "inspector/prompt.h"
#include "inspector/language/script.h"
#include "inspector/session_load.h"
#include "inspector/set.h"
#include "inspector/tui/tui.h"

/* Whether a batch ends with this failure. */
static bool fatal(struct session *s, const struct reaction *r)
{
    const struct options *o = s->options;
    int status = s->exit ? s->exit : session_exit(r);
    bool interrupted = r->status == KV_STOPPED;
    if (r->status && o->on_error && o->batch && !interrupted && !s->leaving) session_do(s, o->on_error);
    s->exit = status;
    if (o->gdb_exit && o->batch && !interrupted) s->exit = r->status ? 1 : 0;
    return r->status && o->batch && (!(o->keep_going || o->gdb_exit) || interrupted);
}

/* -x and -ex in their order, or the early ones, -ix and -iex; false when the session is over. */
static bool run_actions(struct session *s, bool early)
{
    const struct options *o = s->options;
    for (int i = 0; i < o->n_action && !s->leaving; i++) {
        struct reaction r;
        if (o->action[i].early != early) continue;
        s->err = (struct kv_error){ 0 };
        if (o->action[i].file) {
            r = script_file(s, o->action[i].text);
            if (r.status && s->err.text[0]) session_complain(s);
        } else {
            r = session_do(s, o->action[i].text);
        }
        if (fatal(s, &r)) return false;
    }
    return !s->leaving;
}

/* Init files and commands in GDB's order. */
static bool run_all(struct session *s)
{
    const struct options *o = s->options;
    struct reaction r = o->no_init || o->no_home_init ? DONE : init_home(s);
    if (fatal(s, &r) || s->leaving || !run_actions(s, true)) return false;
    r = o->no_init ? DONE : init_folder(s);
    return !fatal(s, &r) && !s->leaving && run_actions(s, false) && !o->batch;
}

static void run_row(struct session *s) { run_all(s); }

/* The screen where the terminal can show one, else the prompt; the user may change between them. */
static void interact(struct session *s)
{
    bool screen = s->terminal && !s->options->no_window;
    int ignored;
    while (!s->leaving) {
        if (screen && tui_main(s, &ignored)) {
            fprintf(stderr, "%s\n", s->err.text);
        } else if (screen && s->leaving) {
            return;
        }
        s->want_tui = false;
        prompt_loop(s);
        if (!s->want_tui) return;
        screen = true;
    }
}

/* The first failure counts where nobody was there to see it; a person has seen it. */
static int run(struct session *s)
{
    int status = 0;
    if (s->options->for_each) return for_each_row(s, run_row);
    if (s->options->keys) {
        if (!tui_script(s, s->options->keys, &status)) return status;
        fprintf(stderr, "%s\n", s->err.text);
        return 2;
    }
    jsonl_ready(s);
    if (!s->options->quiet && !s->options->batch && !s->json)
        fprintf(s->out, "kvdbg %s: GDB for the KV cache.  Type \"help\" for a list of commands.\n", KVDBG_VERSION);
    if (run_all(s)) {
        if (s->json)
            jsonl_loop(s);
        else
            interact(s);
    }
    if (s->leaving) return s->exit_code;
    return s->terminal ? 0 : s->exit ? s->exit : events_exit(s);
}

/* Threads that wait for each other spin for milliseconds by libgomp's default, which on a machine that others use too
 * makes a token 20 times slower; some 40 us lose nothing on an idle one (tests/bench/README.md). libgomp reads this
 * when it is loaded, before main: so the program starts itself again, unless the user has decided. */
static void wait_briefly(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    if (!setenv("GOMP_SPINCOUNT", "4000", 1)) execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
    wait_briefly(argv);
    static struct session session;
    struct session *s = &session;
    struct options o;
    int status = 0;
    setlocale(LC_CTYPE, "");
    if (options_parse(&o, argc, argv, &s->err)) {
        fprintf(stderr, "kvdbg: %s\n", s->err.text);
        options_free(&o);
        return 2;
    }
    if (o.help)
        options_print_help();
    else if (o.version)
        printf("kvdbg %s\n", KVDBG_VERSION);
    else if (o.cd && chdir(o.cd))
        fprintf(stderr, "%.300s: %s.\n", o.cd, strerror(errno)), status = 2;
    else if (o.json && jsonl_open(s, &s->err))
        fprintf(stderr, "%s\n", s->err.text), status = 1;
    else if (session_open(s, &o, &status)) {
        if (s->json)
            jsonl_complain(s, status);
        else
            fprintf(stderr, "%s\n", s->err.text);
    } else {
        session_catch_signals(s);
        status = run(s);
    }
    if (!o.for_each) jsonl_exit(s, status);
    session_close(s);
    jsonl_close(s);
    options_free(&o);
    if (fflush(stdout) && !status) {
        fprintf(stderr, "Cannot write the output.\n");
        status = 1;
    }
    return status;
}
