/* Commands around other commands and other programs. */
#include "inspector/language/shell.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inspector/language/define.h"
#include "inspector/language/lookup.h"
#include "inspector/expr/names.h"
#include "inspector/expr/printf.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"

/* --- shell and pipe ------------------------------------------------------------------------------------------------------ */

/* $_shell_exitcode, or $_shell_exitsignal where the program was killed; the other one is void. */
static enum kv_status note_exit(struct session *s, int status)
{
    struct value code = { 0 }, signal_number = { 0 };
    enum kv_status st = KV_OK;
    if (status < 0) return kv_fail(&s->err, KV_IO, "The shell cannot be started.");
    if (WIFEXITED(status)) st = value_scalar(&code, WEXITSTATUS(status), true, "", &s->err);
    if (WIFSIGNALED(status)) st = value_scalar(&signal_number, WTERMSIG(status), true, "", &s->err);
    if (!st) st = names_assign(s, "_shell_exitcode", &code, &s->err);
    if (!st) st = names_assign(s, "_shell_exitsignal", &signal_number, &s->err);
    value_free(&code);
    value_free(&signal_number);
    return st;
}

/* Runs a shell command and copies what it writes to s->out; input = the file that it reads (NULL = ours). */
static int run_caught(struct session *s, const char *command, FILE *input)
{
    char line[sizeof s->command + 48], bytes[4096];
    if (input)
        snprintf(line, sizeof line, "{ %s\n} <&%d", command, fileno(input));
    else
        snprintf(line, sizeof line, "{ %s\n}%s", command, s->json ? " </dev/null" : ""); /* ours are commands */
    FILE *f = popen(line, "r");
    if (!f) return -1;
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, f)) > 0;) fwrite(bytes, 1, n, s->out);
    return pclose(f);
}

/* Runs a shell command; where the output goes elsewhere than to stdout, so does its. */
static int run_shell(struct session *s, const char *command)
{
    fflush(s->out);
    return s->out == stdout ? system(command) : run_caught(s, command, NULL);
}

struct reaction cmd_shell(struct session *s, const char *args)
{
    const char *shell = getenv("SHELL");
    if (!*args && !s->terminal) return refuse(s, KV_BAD_ARG, "Argument required (command for the shell).");
    return note_exit(s, run_shell(s, *args ? args : shell && *shell ? shell : "/bin/sh")) ? failed(s) : DONE;
}

/* Cuts "[-d DELIMITER] COMMAND DELIMITER SHELL_COMMAND"; line is changed. */
static enum kv_status cut_pipe(struct session *s, char *line, char **command, char **shell)
{
    const char *delimiter = "|";
    if (!strncmp(line, "-d", 2) && (!line[2] || line[2] == ' ')) {
        char *word = line + 2 + strspn(line + 2, " \t"), *end = word + strcspn(word, " \t");
        if (!*word) return kv_fail(&s->err, KV_BAD_ARG, "-d requires an argument");
        line = *end ? end + 1 : end;
        *end = '\0';
        delimiter = word;
    }
    line += strspn(line, " \t");
    char *at = strstr(line, delimiter);
    if (!*line || at == line) return kv_fail(&s->err, KV_BAD_ARG, "Missing COMMAND");
    if (!at) return kv_fail(&s->err, KV_BAD_ARG, "Missing delimiter before SHELL_COMMAND");
    *shell = at + strlen(delimiter);
    *shell += strspn(*shell, " \t");
    *at = '\0';
    *command = line;
    return **shell ? KV_OK : kv_fail(&s->err, KV_BAD_ARG, "Missing SHELL_COMMAND");
}

/* A pipe whose end goes elsewhere than to stdout: the shell command runs when the command has. */
static struct reaction pipe_caught(struct session *s, const char *command, const char *shell)
{
    FILE *outer = s->out, *text = tmpfile();
    bool piped = s->piped;
    if (!text) return refuse(s, KV_IO, "Cannot make a temporary file: %s.", strerror(errno));
    s->out = text;
    s->piped = true;
    struct reaction r = session_line(s, command);
    s->piped = piped;
    s->out = outer;
    if (!r.status && (fflush(text) || fseek(text, 0, SEEK_SET)))
        r = refuse(s, KV_IO, "Cannot write a temporary file: %s.", strerror(errno));
    if (!r.status && note_exit(s, run_caught(s, shell, text))) r = failed(s);
    fclose(text);
    return r;
}

struct reaction cmd_pipe(struct session *s, const char *args)
{
    char line[sizeof s->command], *command = NULL, *shell = NULL;
    snprintf(line, sizeof line, "%s", args);
    if (cut_pipe(s, line, &command, &shell)) return failed(s);
    if (s->json) return pipe_caught(s, command, shell);
    struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
    FILE *outer = s->out;
    bool piped = s->piped;
    fflush(outer);
    sigaction(SIGPIPE, &ignore, &before); /* a reader may have had enough */
    FILE *f = popen(shell, "w");
    if (!f) {
        sigaction(SIGPIPE, &before, NULL);
        return refuse(s, KV_IO, "The shell cannot be started.");
    }
    s->out = f;
    s->piped = true;
    struct reaction r = session_line(s, command);
    s->piped = piped;
    s->out = outer;
    int status = pclose(f);
    sigaction(SIGPIPE, &before, NULL);
    if (r.status) return r;
    return note_exit(s, status) ? failed(s) : r;
}

/* --- eval ---------------------------------------------------------------------------------------------------------------- */

struct reaction cmd_eval(struct session *s, const char *args)
{
    char *line;
    if (printf_format(s, args, &line)) return failed(s);
    struct reaction r = session_line(s, line);
    free(line);
    return r;
}

/* --- with ---------------------------------------------------------------------------------------------------------------- */

#define SETTING_LIMIT 96

/* What every setting is: texts of the engine's, and the session's own. */
struct settings_kept {
    char *value[SETTING_LIMIT];
    struct preferences pref;
};

static enum kv_status keep(struct session *s, struct settings_kept *k)
{
    const struct kv_setting *row;
    *k = (struct settings_kept){ .pref = s->pref };
    for (int i = 0; i < SETTING_LIMIT && (row = kv_setting_at(i)); i++) {
        char text[256];
        enum kv_status st = kv_get(s->engine, row->name, text, sizeof text, &s->err);
        if (!st && !(k->value[i] = kv_strdup(text)))
            st = kv_fail(&s->err, KV_NO_MEMORY, "No memory for the settings.");
        if (st) return st;
    }
    return KV_OK;
}

static void keep_free(struct settings_kept *k)
{
    for (int i = 0; i < SETTING_LIMIT; i++) free(k->value[i]);
}

/* Puts back what "set" changed from k to `now`, and nothing that the command has set since; a policy as a whole, for its
 * names depend on each other. */
static enum kv_status put_back(
    struct session *s, const struct settings_kept *k, const struct settings_kept *now, struct kv_error *err)
{
    const char *name[SETTING_LIMIT], *value[SETTING_LIMIT];
    const struct kv_setting *row;
    bool changed[SETTING_LIMIT] = { false }, policy = false, full = true;
    int n = 0;
    for (int i = 0; i < SETTING_LIMIT && (row = kv_setting_at(i)); i++) {
        changed[i] = strcmp(now->value[i], k->value[i]) != 0;
        policy = policy || (changed[i] && !strncmp(row->name, "policy.", 7));
    }
    for (int i = 0; i < SETTING_LIMIT && (row = kv_setting_at(i)); i++) {
        bool whole = policy && !strncmp(row->name, "policy.", 7);
        if ((!changed[i] && !whole) || !strcmp(k->value[i], "unset")) continue;
        if (!(full = (name[n] = kv_strdup(row->name)) != NULL))
            break; /* the next kv_setting_at takes the row's place */
        value[n++] = k->value[i];
    }
    enum kv_status st = full ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for the settings.");
    if (!st && n) st = kv_set(s->engine, name, value, n, err);
    while (n) free((char *)name[--n]);
#define X(type, preference)                                                                                        \
    if (now->pref.preference != k->pref.preference) s->pref.preference = k->pref.preference;
    PREFERENCE_LIST(X)
#undef X
    return st;
}

/* GDB's with SETTING [VALUE] [-- COMMAND]; without a command, the last one again. */
/* --- the folder ------------------------------------------------------------------------------------------------------- */

struct reaction cmd_pwd(struct session *s, const char *args)
{
    char *folder = getcwd(NULL, 0);
    (void)args;
    if (!folder) return refuse(s, KV_IO, "The working directory cannot be told: %s.", strerror(errno));
    rows_fact_text(s, "folder", folder);
    fprintf(s->out, "Working directory %s.\n", folder);
    free(folder);
    return DONE;
}

struct reaction cmd_cd(struct session *s, const char *args)
{
    const char *home = getenv("HOME");
    char path[sizeof s->command + 64];
    if (!*args || *args == '~')
        snprintf(path, sizeof path, "%.60s%s", home ? home : "/", *args ? args + 1 : "");
    else
        snprintf(path, sizeof path, "%s", args);
    if (chdir(path)) return refuse(s, KV_IO, "%.300s: %s.", path, strerror(errno));
    return cmd_pwd(s, "");
}

/* Whether the line is recompress, by whatever prefix. */
static bool only_rewinds(struct session *s, const char *line)
{
    const struct command *row;
    const char *rest;
    char path[96];
    struct kv_error ignored;
    return !lookup_line(session_table(s), command_pins, line, &row, &rest, path, sizeof path, &ignored) &&
           row->run == cmd_recompress;
}

struct reaction cmd_with(struct session *s, const char *args)
{
    char set[sizeof s->command + 8], command[sizeof s->command];
    struct settings_kept kept, now = { 0 };
    if (!*args) return refuse(s, KV_BAD_ARG, "Missing arguments.");
    const char *dashes = strstr(args, " --");
    while (dashes && dashes[3] && dashes[3] != ' ') dashes = strstr(dashes + 1, " --");
    const char *after = dashes ? dashes + 3 + strspn(dashes + 3, " \t") : "";
    snprintf(command, sizeof command, "%s", *after ? after : s->repeat);
    snprintf(set, sizeof set, "set %.*s", (int)(dashes ? (size_t)(dashes - args) : strlen(args)), args);
    if (!*command) return refuse(s, KV_BAD_ARG, "No previous command to relaunch");
    if (only_rewinds(s, command) && !strncmp(args, "policy", 6))
        return refuse(s, KV_BAD_ARG,
            "recompress only goes back to compress, which runs when with has put the policy back: use whatif, or "
            "set.");
    struct reaction r = keep(s, &kept) ? failed(s) : session_line(s, set);
    if (!r.status && keep(s, &now)) r = failed(s);
    if (!r.status) {
        r = session_line(s, command);
        struct kv_error err = { 0 };
        if (put_back(s, &kept, &now, &err) && !r.status) {
            s->err = err;
            r = failed(s);
        }
    }
    keep_free(&kept);
    keep_free(&now);
    return r;
}
