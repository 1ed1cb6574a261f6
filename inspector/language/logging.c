/* The log of a session. */
#include "inspector/language/logging.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/set.h"

#define DEFAULT_FILE "kvdbg.txt"

struct logging {
    char *name; /* NULL = DEFAULT_FILE */
    bool overwrite, redirect;
    FILE *file;  /* NULL = not logging */
    FILE *tee;   /* what s->out is meanwhile */
    FILE *outer; /* what it was */
};

static ssize_t write_both(void *cookie, const char *bytes, size_t n)
{
    struct logging *l = cookie;
    bool good = fwrite(bytes, 1, n, l->file) == n && !fflush(l->file);
    if (!l->redirect) good = fwrite(bytes, 1, n, l->outer) == n && !fflush(l->outer) && good;
    return good ? (ssize_t)n : -1;
}

static struct logging *logging(struct session *s)
{
    if (!s->logging && !(s->logging = kv_alloc(1, sizeof *s->logging)))
        kv_fail(&s->err, KV_NO_MEMORY, "No memory for a log.");
    return s->logging;
}

static const char *name_of(const struct logging *l) { return l && l->name ? l->name : DEFAULT_FILE; }

static struct reaction begin(struct session *s, struct logging *l)
{
    if (l->file) return refuse(s, KV_NOT_NOW, "Already logging to %.300s.", name_of(l));
    l->file = fopen(name_of(l), l->overwrite ? "w" : "a");
    if (!l->file) return refuse(s, KV_IO, "%.300s: %s.", name_of(l), strerror(errno));
    const cookie_io_functions_t io = { .write = write_both };
    l->tee = fopencookie(l, "w", io);
    if (!l->tee) {
        fclose(l->file);
        l->file = NULL;
        return refuse(s, KV_NO_MEMORY, "No memory for a log.");
    }
    setvbuf(l->tee, NULL, _IOLBF, 0);
    fprintf(s->out, "%s output to %s.\n", l->redirect ? "Redirecting" : "Copying", name_of(l));
    fflush(s->out);
    l->outer = s->out;
    s->out = l->tee;
    return DONE;
}

static struct reaction end(struct session *s, struct logging *l)
{
    if (!l->file) return DONE;
    fflush(l->tee);
    s->out = l->outer;
    fclose(l->tee);
    bool good = !fclose(l->file);
    l->file = l->tee = NULL;
    if (!good) return refuse(s, KV_IO, "Cannot write %.300s: %s.", name_of(l), strerror(errno));
    fprintf(s->out, "Done logging to %s.\n", name_of(l));
    return DONE;
}

void logging_free(struct session *s)
{
    if (!s->logging) return;
    if (s->logging->file) {
        s->out = s->logging->outer;
        fclose(s->logging->tee);
        fclose(s->logging->file);
    }
    free(s->logging->name);
    free(s->logging);
    s->logging = NULL;
}

void logging_error(struct session *s, const char *text)
{
    if (s->logging && s->logging->file) fprintf(s->logging->file, "%s\n", text);
}

struct reaction cmd_set_logging_enabled(struct session *s, const char *args)
{
    struct logging *l = logging(s);
    bool on = true;
    if (!l) return failed(s);
    if (*args && set_switch(s, args, &on)) return failed(s);
    if (s->json) return refuse(s, KV_UNSUPPORTED, "With --json the answers are the log.");
    if (s->out != (l->file ? l->tee : stdout))
        return refuse(s, KV_NOT_NOW, "Logging cannot change while a command's output goes elsewhere.");
    return on ? begin(s, l) : end(s, l);
}

struct reaction cmd_set_logging_file(struct session *s, const char *args)
{
    struct logging *l = logging(s);
    if (!l) return failed(s);
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (filename to set it to.).");
    if (l->file) return refuse(s, KV_NOT_NOW, "Already logging to %.300s.", name_of(l));
    char *copy = kv_strdup(args);
    if (!copy) return refuse(s, KV_NO_MEMORY, "No memory for a log.");
    free(l->name);
    l->name = copy;
    return DONE;
}

static struct reaction set_before(struct session *s, const char *args, bool redirect)
{
    struct logging *l = logging(s);
    bool on = true;
    if (!l || (*args && set_switch(s, args, &on))) return failed(s);
    if (l->file)
        fprintf(s->out,
            "warning: Currently logging to %s.  Turn the logging off and on to make the new setting effective.\n",
            name_of(l));
    if (redirect)
        l->redirect = on;
    else
        l->overwrite = on;
    return DONE;
}

struct reaction cmd_set_logging_overwrite(struct session *s, const char *args)
{
    return set_before(s, args, false);
}
struct reaction cmd_set_logging_redirect(struct session *s, const char *args) { return set_before(s, args, true); }

struct reaction cmd_show_logging(struct session *s, const char *args)
{
    const struct logging *l = s->logging;
    (void)args;
    fprintf(s->out,
        "logging enabled:  %s\nlogging file:  The current logfile is \"%s\".\n"
        "logging overwrite:  %s\nlogging redirect:  %s\n",
        l && l->file ? "on: Logging is enabled." : "off: Logging is disabled.", name_of(l),
        l && l->overwrite ? "on: Logging overwrites the log file." : "off: Logging appends to the log file.",
        l && l->redirect ? "on: Output will go only to the log file."
                         : "off: Output will go to both the screen and the log file.");
    return DONE;
}
