/* The prompt: libedit on a terminal, plain lines from anywhere else. */
#include "inspector/prompt.h"

#include <editline/readline.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "inspector/language/block.h"
#include "inspector/language/complete.h"

#define PROMPT        "(kvdbg) "
#define HISTORY_LINES 1000

static struct session *completing;

struct matches {
    char **word;
    size_t count;
};

static void keep(void *ctx, const char *word)
{
    struct matches *m = ctx;
    char **grown = realloc(m->word, (m->count + 2) * sizeof *grown);
    if (!grown) return;
    m->word = grown;
    m->word[m->count] = strdup(word);
    if (m->word[m->count]) m->word[++m->count] = NULL;
}

/* readline wants the words one at a time, NULL behind the last. */
static char *next_match(const char *text, int state)
{
    static struct matches m;
    static size_t at;
    (void)text;
    if (!state) {
        size_t start;
        char line[1024];
        snprintf(line, sizeof line, "%.*s", rl_point, rl_line_buffer);
        m = (struct matches){ 0 };
        at = 0;
        complete_line(completing, line, &start, keep, &m);
    }
    if (at < m.count) return m.word[at++];
    free(m.word);
    m = (struct matches){ 0 };
    return NULL;
}

static void ignore(void *ctx, const char *word)
{
    (void)ctx;
    (void)word;
}

static char **attempt(const char *text, int start, int end)
{
    size_t at;
    char line[1024];
    (void)start;
    (void)end;
    snprintf(line, sizeof line, "%.*s", rl_point, rl_line_buffer);
    bool files = complete_line(completing, line, &at, ignore, NULL);
    rl_attempted_completion_over = !files;
    return files ? NULL : rl_completion_matches(text, next_match);
}

/* $XDG_STATE_HOME/kvdbg/history where that is set, else ~/.kvdbg_history; false without a home. */
static bool history_path(char *path, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state) {
        snprintf(path, size, "%s/kvdbg", state);
        mkdir(path, 0700);
        snprintf(path, size, "%s/kvdbg/history", state);
        return true;
    }
    snprintf(path, size, "%s/.kvdbg_history", home ? home : "");
    return home && *home;
}

/* Runs a line, or for an empty one what the last command says. */
static void take(struct session *s, const char *line)
{
    char text[sizeof s->repeat];
    if (line[strspn(line, " \t\r")]) {
        session_do(s, line);
        return;
    }
    memcpy(text, s->repeat, sizeof text);
    if (*text) session_do(s, text);
}

/* --- signals ------------------------------------------------------------------------------------------------------ */

/* libedit's own handlers allocate in the middle of whatever goes on, so they are off; these do what is safe there. */
static struct termios cooked; /* the terminal as it was before the first line */
static volatile sig_atomic_t resized;

static void on_resize(int n)
{
    (void)n;
    resized = 1;
}

static void on_end(int n)
{
    tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
    signal(n, SIG_DFL);
    raise(n);
}

/* Stops with the terminal as it was, and goes on in the line that was being typed. */
static void on_stop(int n)
{
    struct termios typing;
    sigset_t stop;
    int was = errno;
    tcgetattr(STDIN_FILENO, &typing);
    tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
    signal(n, SIG_DFL);
    sigemptyset(&stop);
    sigaddset(&stop, n);
    sigprocmask(SIG_UNBLOCK, &stop, NULL);
    raise(n);
    signal(n, on_stop);
    tcsetattr(STDIN_FILENO, TCSANOW, &typing);
    errno = was;
}

static void catch_signals(bool on)
{
    static const int ends[] = { SIGTERM, SIGHUP, SIGQUIT };
    struct sigaction resize = { .sa_handler = on ? on_resize : SIG_DFL, .sa_flags = SA_RESTART };
    if (on) tcgetattr(STDIN_FILENO, &cooked);
    for (size_t i = 0; i < KV_COUNT(ends); i++) signal(ends[i], on ? on_end : SIG_DFL);
    signal(SIGTSTP, on ? on_stop : SIG_DFL);
    sigaction(SIGWINCH, &resize, NULL);
}

static char *ask_line(const char *prompt)
{
    if (resized) rl_resize_terminal();
    resized = 0;
    return readline(prompt);
}

/* The lines of a block, asked for behind a > a level. */
static bool terminal_line(struct line_source *src, char **line, size_t *cap)
{
    struct session *s = src->ctx;
    fflush(s->out);
    char *text = ask_line(">");
    if (session_interrupted()) {
        kv_fail(&s->err, KV_NOT_NOW, "Quit");
        free(text);
        return false;
    }
    if (!text) return false;
    src->line++;
    free(*line);
    *line = text;
    *cap = strlen(text) + 1;
    return true;
}

static void terminal_loop(struct session *s)
{
    char path[4096];
    bool kept = history_path(path, sizeof path);
    struct line_source src = { .read = terminal_line, .ctx = s };
    completing = s;
    rl_readline_name = "kvdbg";
    rl_catch_signals = 0;
    rl_initialize();
    using_history();
    stifle_history(HISTORY_LINES);
    if (kept) read_history(path);
    rl_attempted_completion_function = attempt;
    rl_completer_word_break_characters = " \t()[]+-*/<>=!&|,";
    s->source = &src;
    catch_signals(true);
    while (!s->leaving && !s->want_tui) {
        char *line = ask_line(PROMPT);
        if (session_interrupted()) { /* Ctrl-C drops the line, as in GDB */
            fputs("Quit\n", s->out);
            free(line);
            continue;
        }
        if (!line) {
            fputs("quit\n", s->out);
            session_do(s, "quit");
            continue;
        }
        if (line[strspn(line, " \t")]) add_history(line);
        take(s, line);
        free(line);
    }
    catch_signals(false);
    s->source = NULL;
    if (kept) write_history(path);
}

static bool pipe_line(struct line_source *src, char **line, size_t *cap)
{
    ssize_t n = getline(line, cap, src->ctx);
    if (n < 0) return false;
    src->line++;
    if (n && (*line)[n - 1] == '\n') (*line)[n - 1] = '\0';
    return true;
}

void prompt_loop(struct session *s)
{
    if (s->terminal) {
        terminal_loop(s);
        return;
    }
    struct line_source src = { .read = pipe_line, .ctx = stdin };
    char *line = NULL;
    size_t cap = 0;
    s->source = &src;
    while (!s->leaving && pipe_line(&src, &line, &cap)) take(s, line);
    s->source = NULL;
    free(line);
}

struct reaction cmd_show_commands(struct session *s, const char *args)
{
    int n = s->terminal ? history_length : 0;
    (void)args;
    for (int i = n > 10 ? n - 10 : 0; i < n; i++) {
        const HIST_ENTRY *entry = history_get(history_base + i);
        if (entry) fprintf(s->out, "%5d  %s\n", history_base + i, entry->line);
    }
    return DONE;
}
