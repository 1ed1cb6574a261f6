/* The user's own commands. They are rows of a copy of the command table, so that prefixes, help and completion treat
 * them like kvdbg's own. */
#include "inspector/language/define.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/language/line.h"
#include "inspector/language/lookup.h"
#include "inspector/language/script.h"

#define DEPTH_LIMIT 1024 /* of calls, as in GDB; a call takes less than 4 KiB of stack */

struct user_command {
    char *path, *name; /* "info mine", "mine"; name points into path */
    bool prefix;       /* a group made by define-prefix */
    bool running;      /* as a hook: it does not hook itself */
    struct block *body;
    char *help, *more; /* the documentation's first line and its others */
    char *target;      /* of an alias: COMMAND [DEFAULT-ARGS]; else NULL */
    struct user_command *next;
};

/* A copy of a table of rows, with room for more. */
struct table {
    struct command *rows;
    int count, cap;
    struct table *next;
};

/* Arguments of the call that runs; text holds them one behind the other. */
struct call {
    char *text, **word;
    int count;
};

struct user_commands {
    struct user_command *first, *last;
    struct table *tables; /* the top one is the last of the list */
    const struct call *call;
    int depth, limit;
};

static struct reaction run_user(struct session *s, const char *args);
static struct reaction run_alias(struct session *s, const char *args);

const struct command *session_table(const struct session *s)
{
    const struct table *t = s->user ? s->user->tables : NULL;
    while (t && t->next) t = t->next;
    return t ? t->rows : command_table;
}

static struct user_commands *users(struct session *s)
{
    if (s->user) return s->user;
    s->user = kv_alloc(1, sizeof *s->user);
    if (s->user)
        s->user->limit = DEPTH_LIMIT;
    else
        kv_fail(&s->err, KV_NO_MEMORY, "No memory for a user-defined command.");
    return s->user;
}

static void free_command(struct user_command *u)
{
    block_drop(u->body);
    free(u->path);
    free(u->help);
    free(u->more);
    free(u->target);
    free(u);
}

void define_free(struct session *s)
{
    struct user_commands *all = s->user;
    if (!all) return;
    for (struct user_command *u = all->first, *next; u; u = next) {
        next = u->next;
        free_command(u);
    }
    for (struct table *t = all->tables, *next; t; t = next) {
        next = t->next;
        free(t->rows);
        free(t);
    }
    free(all);
    s->user = NULL;
}

static struct user_command *find(const struct session *s, const char *path)
{
    struct user_command *u = s->user ? s->user->first : NULL;
    while (u && strcmp(u->path, path)) u = u->next;
    return u;
}

/* --- the table ------------------------------------------------------------------------------------------------------------ */

/* The user's copy of a table, made if it is not one yet. */
static struct table *own_table(struct session *s, const struct command *rows)
{
    struct user_commands *all = users(s);
    for (struct table *t = all ? all->tables : NULL; t; t = t->next)
        if (t->rows == rows) return t;
    int n = 0;
    while (rows && rows[n].name) n++;
    struct table *t = all ? kv_alloc(1, sizeof *t) : NULL;
    if (t) *t = (struct table){ kv_alloc((size_t)n + 9, sizeof *t->rows), n, n + 8, all->tables };
    if (!t || !t->rows) {
        free(t);
        kv_fail(&s->err, KV_NO_MEMORY, "No memory for a user-defined command.");
        return NULL;
    }
    if (n) memcpy(t->rows, rows, (size_t)n * sizeof *rows);
    t->rows[n] = (struct command){ 0 };
    all->tables = t; /* so that the top one, made first, stays the last of the list */
    return t;
}

/* Points the group that had the rows `from` to where they are now. */
static void moved(struct session *s, const struct command *from, const struct command *to)
{
    for (struct table *t = s->user->tables; t; t = t->next)
        for (int i = 0; i < t->count; i++)
            if (t->rows[i].sub == from) t->rows[i].sub = to;
}

static enum kv_status put_row(struct session *s, struct table *t, const struct command *row)
{
    for (int i = 0; i < t->count; i++) {
        if (strcmp(t->rows[i].name, row->name)) continue;
        const char *aliases = t->rows[i].aliases;
        t->rows[i] = *row;
        t->rows[i].aliases = aliases;
        return KV_OK;
    }
    if (t->count == t->cap) {
        struct command *grown = kv_alloc((size_t)t->cap * 2 + 1, sizeof *grown);
        if (!grown) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for a user-defined command.");
        memcpy(grown, t->rows, (size_t)t->count * sizeof *grown);
        moved(s, t->rows, grown);
        free(t->rows);
        t->rows = grown;
        t->cap *= 2;
    }
    t->rows[t->count++] = *row;
    t->rows[t->count] = (struct command){ 0 };
    return KV_OK;
}

/* The table of the group that all words of path but the last name; *name = that last word. */
static struct table *group_of(struct session *s, char *path, char **name)
{
    struct table *t = own_table(s, session_table(s));
    const struct command *row;
    char parent[96] = "";
    for (char *at = path, *space; t && (space = strchr(at, ' ')); at = space + 1) {
        size_t n = (size_t)(space - at);
        const struct command_pin *pins = at == path ? command_pins : NULL;
        if (lookup_row(t->rows, parent, pins, at, n, &row, &s->err)) return NULL;
        if (!row->sub) {
            kv_fail(&s->err, KV_BAD_ARG, "\"%.*s\" is not a prefix command.", (int)(space - path), path);
            return NULL;
        }
        snprintf(parent + strlen(parent), sizeof parent - strlen(parent), "%s%s", *parent ? " " : "", row->name);
        struct command *mine = t->rows + (row - t->rows);
        struct table *sub = own_table(s, row->sub);
        if (sub) mine->sub = sub->rows;
        t = sub;
    }
    *name = strrchr(path, ' ') ? strrchr(path, ' ') + 1 : path;
    return t;
}

/* --- names ------------------------------------------------------------------------------------------------------------------ */

/* Reads a command's name, of one word or behind the words of its group, blanks made single. */
static enum kv_status read_name(struct session *s, const char *args, char *path, size_t size)
{
    size_t n = 0;
    for (const char *p = args; *p; p++) {
        bool first = !n || path[n - 1] == ' ';
        if ((*p == ' ' || *p == '\t') && !first) path[n++] = ' ';
        if (*p == ' ' || *p == '\t') continue;
        if (!lookup_word_char(*p) || (first && !isalpha((unsigned char)*p) && *p != '_'))
            return kv_fail(&s->err, KV_BAD_ARG, "Junk in argument list: \"%.60s\"", p);
        path[n++] = *p;
        if (n + 2 > size) return kv_fail(&s->err, KV_BAD_ARG, "A command's name has at most %zu bytes.", size - 2);
    }
    while (n && path[n - 1] == ' ') n--;
    path[n] = '\0';
    return n ? KV_OK : kv_fail(&s->err, KV_BAD_ARG, "Argument required (name of command to define).");
}

static const struct command *row_of(const struct table *t, const char *name)
{
    for (int i = 0; i < t->count; i++)
        if (lookup_is(&t->rows[i], name, strlen(name))) return &t->rows[i];
    return NULL;
}

/* The row that a definition of that name takes the place of; another's alias gives way without a word, as in GDB. */
static const struct command *replaced(const struct table *t, const char *name)
{
    for (int i = 0; i < t->count; i++)
        if (!strcmp(t->rows[i].name, name)) return &t->rows[i];
    return NULL;
}

/* GDB's questions before a command is replaced. */
static bool may_define(struct session *s, const struct table *t, const char *path, const char *name)
{
    const struct command *row = replaced(t, name);
    const char *hooked = !strncmp(name, "hook-", 5) ? name + 5 : !strncmp(name, "hookpost-", 9) ? name + 9 : NULL;
    if (row && find(s, path)) {
        if (session_ask(s, "Redefine command \"%s\"? ", row->name)) return true;
    } else if (row) {
        if (session_ask(s, "Really redefine built-in command \"%s\"? ", row->name)) return true;
    } else {
        if (!hooked || !strcmp(hooked, "stop") || row_of(t, hooked)) return true;
        fflush(s->out);
        fprintf(stderr, "warning: Your new `%s' command does not hook any existing command.\n", name);
        if (session_ask(s, "Proceed? ")) return true;
    }
    kv_fail(&s->err, KV_NOT_NOW, "Command \"%s\" not redefined.", name);
    return false;
}

/* The entry for a path, new if need be. */
static struct user_command *entry(struct session *s, const char *path)
{
    struct user_command *u = find(s, path);
    if (u) return u;
    u = kv_alloc(1, sizeof *u);
    if (u && (u->path = kv_strdup(path)) && (u->help = kv_strdup("User-defined"))) {
        u->name = strrchr(u->path, ' ') ? strrchr(u->path, ' ') + 1 : u->path;
        if (s->user->last)
            s->user->last->next = u;
        else
            s->user->first = u;
        s->user->last = u;
        return u;
    }
    if (u) free_command(u);
    kv_fail(&s->err, KV_NO_MEMORY, "No memory for a user-defined command.");
    return NULL;
}

static enum kv_status put_user(
    struct session *s, struct table *t, const struct user_command *u, const struct command *sub)
{
    const struct command row = { .name = u->name,
        .group = u->target ? GROUP_ALIASES : GROUP_USER,
        .args = "",
        .help = u->help,
        .more = u->more,
        .repeat = REPEAT_SAME,
        .run = u->target               ? run_alias
               : u->body || !u->prefix ? run_user
                                       : NULL,
        .sub = sub };
    return put_row(s, t, &row);
}

/* --- define, define-prefix, document --------------------------------------------------------------------------------------- */

struct reaction cmd_define(struct session *s, const char *args)
{
    char path[80], *name;
    struct body body;
    struct block_line *lines;
    struct table *t = NULL;
    bool good =
        !read_name(s, args, path, sizeof path) && (t = group_of(s, path, &name)) && may_define(s, t, path, name);
    struct kv_error why = s->err;
    if (good && s->terminal && !s->place)
        fprintf(s->out, "Type commands for definition of \"%s\".\nEnd with a line saying just \"end\".\n", path);
    if (script_body(s, BLOCK_LINES, &body)) return failed(s); /* read even where it is refused */
    s->err = why;
    enum kv_status st = good ? script_body_take(&body, &lines, &s->err) : s->err.code;
    script_body_free(&body);
    if (st) return failed(s);
    struct block *b = block_new(lines);
    struct user_command *u = b ? entry(s, path) : NULL;
    if (!b) kv_fail(&s->err, KV_NO_MEMORY, "No memory for a user-defined command.");
    if (!u) {
        block_drop(b);
        return failed(s);
    }
    block_drop(u->body);
    u->body = b;
    free(u->target);
    u->target = NULL;
    const struct command *row = replaced(t, name);
    return put_user(s, t, u, row ? row->sub : NULL) ? failed(s) : DONE;
}

struct reaction cmd_define_prefix(struct session *s, const char *args)
{
    char path[80], *name;
    struct table *t;
    if (read_name(s, args, path, sizeof path) || !(t = group_of(s, path, &name))) return failed(s);
    const struct command *row = row_of(t, name);
    if (row && row->sub) return DONE; /* as in GDB: it is one already */
    struct table *sub = own_table(s, NULL);
    if (!sub) return failed(s);
    if (row && !find(s, path)) { /* one of kvdbg's own takes subcommands besides its arguments */
        t->rows[row - t->rows].sub = sub->rows;
        return DONE;
    }
    struct user_command *u = entry(s, path);
    if (!u) return failed(s);
    u->prefix = true;
    return put_user(s, t, u, sub->rows) ? failed(s) : DONE;
}

/* The lines of a body as one text. */
static char *join(const struct block_line *l)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f) return NULL;
    for (; l; l = l->next) fprintf(f, "%s%s", l->text, l->next ? "\n" : "");
    fclose(f);
    return text;
}

struct reaction cmd_document(struct session *s, const char *args)
{
    char path[80], *name = NULL;
    struct body body;
    struct user_command *u = NULL;
    struct table *t = NULL;
    if (!read_name(s, args, path, sizeof path) && (t = group_of(s, path, &name)) && !(u = find(s, path)))
        kv_fail(&s->err, row_of(t, name) ? KV_BAD_ARG : KV_NOT_FOUND,
            row_of(t, name) ? "Command \"%s\" is built-in." : "Undefined command: \"%s\".", path);
    struct kv_error why = s->err;
    if (script_body(s, BLOCK_TEXT, &body)) return failed(s);
    s->err = why;
    char *text = u ? join(body.body) : NULL;
    script_body_free(&body);
    if (!u) return failed(s);
    char *rest = text ? strchr(text, '\n') : NULL;
    if (rest) *rest++ = '\0';
    size_t n = text ? strlen(text) : 0;
    if (n && text[n - 1] == '.') text[n - 1] = '\0';
    char *help = text && *text ? kv_strdup(text) : kv_strdup("User-defined"), *more = kv_strdup(rest);
    free(text);
    if (!help) return refuse(s, KV_NO_MEMORY, "No memory for a documentation.");
    free(u->help);
    free(u->more);
    u->help = help;
    u->more = more;
    const struct command *row = replaced(t, name);
    return put_user(s, t, u, row ? row->sub : NULL) ? failed(s) : DONE;
}

/* --- calls ------------------------------------------------------------------------------------------------------------------ */

/* Cuts arguments at blanks outside quotes, which stay, as in GDB. */
static bool cut(struct call *c, const char *args)
{
    size_t n = strlen(args);
    *c = (struct call){ kv_alloc(n + 1, 1), kv_alloc(n / 2 + 1, sizeof *c->word), 0 };
    if (!c->text || !c->word) return false;
    memcpy(c->text, args, n + 1);
    for (char *p = c->text; *(p += strspn(p, " \t"));) {
        char quote = 0;
        c->word[c->count++] = p;
        for (; *p && (quote || (*p != ' ' && *p != '\t')); p++) {
            if (*p == '\\' && p[1])
                p++;
            else if (quote ? *p == quote : *p == '"' || *p == '\'')
                quote = quote ? 0 : *p;
        }
        if (*p) *p++ = '\0';
    }
    return true;
}

static struct reaction run_user(struct session *s, const char *args)
{
    struct user_commands *all = s->user;
    struct user_command *u = find(s, s->path);
    struct call call;
    if (!u || !u->body)
        return refuse(s, KV_NOT_FOUND, "\"%s\" must be followed by the name of a subcommand.", s->path);
    if (all->depth >= all->limit) return refuse(s, KV_BAD_ARG, "Max user call depth exceeded -- command aborted.");
    struct reaction r = DONE;
    if (!cut(&call, args)) r = refuse(s, KV_NO_MEMORY, "No memory for the arguments of %s.", s->path);
    const struct call *outer = all->call;
    struct block *body = u->body;
    int loops = s->loops;
    body->users++;
    all->call = &call;
    all->depth++;
    s->loops = 0;
    s->calls++;
    if (!r.status) r = script_lines(s, body->first, false);
    s->calls--;
    s->loops = loops;
    all->depth--;
    all->call = outer;
    block_drop(body);
    free(call.text);
    free(call.word);
    return r;
}

char *define_arguments(struct session *s, const char *text)
{
    const struct call *c = s->user ? s->user->call : NULL;
    char *out = NULL;
    size_t size;
    if (!c || !strstr(text, "$arg")) {
        if (!(out = kv_strdup(text))) kv_fail(&s->err, KV_NO_MEMORY, "No memory for a line.");
        return out;
    }
    FILE *f = open_memstream(&out, &size);
    bool good = f != NULL;
    for (const char *p = text; good && *p;) {
        bool is = !strncmp(p, "$arg", 4) && (p[4] == 'c' || isdigit((unsigned char)p[4]));
        if (!is)
            fputc(*p++, f);
        else if (p[4] == 'c') {
            fprintf(f, "%d", c->count);
            p += 5;
        } else {
            char *end;
            unsigned long i = strtoul(p + 4, &end, 10);
            good = i < (unsigned long)c->count;
            if (good) fputs(c->word[i], f);
            if (!good) kv_fail(&s->err, KV_BAD_ARG, "Missing argument %lu in user function.", i);
            p = end;
        }
    }
    if (f) fclose(f);
    if (good) return out;
    free(out);
    return NULL;
}

struct reaction define_hook(struct session *s, const char *prefix, const char *name)
{
    char path[96];
    if (!s->user || strlen(name) > 64) return DONE;
    snprintf(path, sizeof path, "%s-%s", prefix, name);
    struct user_command *u = find(s, path);
    if (!u || !u->body || u->running) return DONE;
    const struct block_line *pending = s->pending;
    char own[sizeof s->path], command[sizeof s->command];
    memcpy(own, s->path, sizeof own);
    memcpy(command, s->command, sizeof command);
    snprintf(s->path, sizeof s->path, "%s", path);
    u->running = true;
    struct reaction r = run_user(s, "");
    u->running = false;
    memcpy(s->path, own, sizeof own);
    memcpy(s->command, command, sizeof command);
    s->pending = pending;
    return r;
}

/* --- alias ------------------------------------------------------------------------------------------------------------------ */

static struct reaction run_alias(struct session *s, const char *args)
{
    struct user_command *u = find(s, s->path);
    struct user_commands *all = s->user;
    char line[sizeof s->command];
    if (!u || !u->target) return refuse(s, KV_NOT_FOUND, "Undefined command: \"%s\".", s->path);
    if (all->depth >= all->limit) return refuse(s, KV_BAD_ARG, "Max user call depth exceeded -- command aborted.");
    if ((size_t)snprintf(line, sizeof line, "%s %s", u->target, args) >= sizeof line)
        return refuse(s, KV_BAD_ARG, "The line has more than %zu bytes.", sizeof line - 1);
    all->depth++;
    struct reaction r = session_line(s, line);
    all->depth--;
    return r;
}

struct reaction cmd_alias(struct session *s, const char *args)
{
    static const char usage[] = "Usage: alias [-a] [--] ALIAS = COMMAND [DEFAULT-ARGS...]";
    char left[128], path[80], full[96], *name;
    const struct command *row;
    const char *equals = strchr(args, '='), *rest;
    bool hidden = !strncmp(args, "-a ", 3);
    if (hidden) args += 3 + strspn(args + 3, " \t");
    if (!strncmp(args, "-- ", 3)) args += 3 + strspn(args + 3, " \t");
    if (*args == '-') return refuse(s, KV_BAD_ARG, "Unrecognized option at: %.60s", args);
    if (!equals || equals <= args || (size_t)(equals - args) >= sizeof left)
        return refuse(s, KV_BAD_ARG, "%s", usage);
    snprintf(left, sizeof left, "%.*s", (int)(equals - args), args);
    const char *target = equals + 1 + strspn(equals + 1, " \t");
    struct table *t = NULL;
    if (!*target) return refuse(s, KV_BAD_ARG, "%s", usage);
    if (lookup_line(session_table(s), command_pins, target, &row, &rest, full, sizeof full, &s->err) ||
        read_name(s, left, path, sizeof path) || !(t = group_of(s, path, &name)))
        return failed(s);
    if (row_of(t, name)) return refuse(s, KV_BAD_ARG, "Alias %s is the name of an existing command", path);
    struct user_command *u = entry(s, path);
    char *more = NULL;
    if (!u || asprintf(&more, "  alias %s = %s", path, target) < 0) return failed(s);
    free(u->help);
    free(u->more);
    free(u->target);
    u->help = kv_strdup(row->help);
    u->more = more;
    u->target = kv_strdup(target);
    if (!u->help || !u->target || put_user(s, t, u, NULL)) return failed(s);
    if (hidden) t->rows[row_of(t, name) - t->rows].group = GROUP_HIDDEN;
    return DONE;
}

/* --- the rest --------------------------------------------------------------------------------------------------------------- */

struct reaction cmd_dont_repeat(struct session *s, const char *args)
{
    (void)args;
    s->dont_repeat = true;
    return DONE;
}

static void show_one(struct session *s, const struct user_command *u)
{
    if (u->target) return;
    fprintf(s->out, "User %scommand \"%s\":\n", u->prefix ? "prefix" : "", u->path);
    if (u->body) block_print(s, u->body->first, 2);
    fputc('\n', s->out);
}

struct reaction cmd_show_user(struct session *s, const char *args)
{
    const struct command *row;
    const char *rest;
    char path[96];
    if (!*args) {
        for (struct user_command *u = s->user ? s->user->first : NULL; u; u = u->next) show_one(s, u);
        return DONE;
    }
    if (lookup_line(session_table(s), command_pins, args, &row, &rest, path, sizeof path, &s->err))
        return failed(s);
    struct user_command *u = find(s, path);
    if (!u || u->target) return refuse(s, KV_BAD_ARG, "Not a user command.");
    show_one(s, u);
    return DONE;
}

struct reaction cmd_set_max_depth(struct session *s, const char *args)
{
    long long n;
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (integer to set it to, or \"unlimited\").");
    if (!users(s) || line_integer(args, 1, DEPTH_LIMIT, "a call depth", &n, &s->err)) return failed(s);
    s->user->limit = (int)n;
    return DONE;
}

struct reaction cmd_show_max_depth(struct session *s, const char *args)
{
    (void)args;
    fprintf(
        s->out, "The max call depth for user-defined commands is %d.\n", s->user ? s->user->limit : DEPTH_LIMIT);
    return DONE;
}
