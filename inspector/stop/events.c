/* What is looked for without being asked costs a pass nothing: the sampler finds a NaN itself, and kept sets are looked
 * at once a compression. */
#include "inspector/stop/events.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/look.h"
#include "inspector/stop/catch.h"
#include "inspector/language/line.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"

enum event {
    EVENT_NAN,
    EVENT_EMPTY,
    EVENT_SINKLOSS,
    EVENT_CLAMP,
    EVENT_COLLAPSE,
    EVENT_DIVERGE,
    EVENT_EOS,
    EVENT_OOM,
    EVENT_COUNT
};

static const struct {
    const char *name, *help;
    bool stop, print;      /* unless handle says otherwise */
    enum catch_event what; /* the catchpoint that waits for the same */
} events[EVENT_COUNT] = {
    [EVENT_NAN] = { "NAN", "Not a finite number", true, true, CATCH_nan },
    [EVENT_EMPTY] = { "EMPTY", "Layer without tokens", true, true, CATCH_empty },
    [EVENT_SINKLOSS] = { "SINKLOSS", "Sink tokens evicted", true, true, CATCH_sink_loss },
    [EVENT_CLAMP] = { "CLAMP", "Budget at its bound", false, false, CATCH_clamp },
    [EVENT_COLLAPSE] = { "COLLAPSE", "Head below an entropy: catch collapse H", false, false, CATCH_collapse },
    [EVENT_DIVERGE] = { "DIVERGE", "Step above a KL: catch diverge KL", false, false, CATCH_diverge },
    [EVENT_EOS] = { "EOS", "End of the reply by the model", false, true, CATCH_eos },
    [EVENT_OOM] = { "OOM", "Out of memory: the command fails, or catch oom", true, true, CATCH_oom },
};

const char *events_name(int index) { return index < EVENT_COUNT ? events[index].name : NULL; }

static bool stops_at(const struct session *s, int e) { return events[e].stop != !!(s->events_stop & 1u << e); }
static bool prints(const struct session *s, int e) { return events[e].print != !!(s->events_print & 1u << e); }

static void tell(struct session *s, int e, const char *what)
{
    run_end_line(s);
    fprintf(s->out, "\nProgram received signal %s, %s.\n", events[e].name, events[e].help);
    if (*what) fprintf(s->out, "%c%s\n", toupper((unsigned char)*what), what + 1);
}

static bool stop(struct session *s, int e, const struct kv_where *now)
{
    snprintf(s->stop_reason, sizeof s->stop_reason, "signal %s", events[e].name);
    run_show_stop(s, "", now);
    return true;
}

/* The first layer, of all that compress has just made, for which the event holds. */
static bool layer_event(struct session *s, int e, char *text, size_t size)
{
    struct kv_array reason;
    struct kv_error ignored;
    char sinks[32] = "0";
    kv_get(s->engine, "policy.sinks", sinks, sizeof sinks, &ignored);
    size_t first = strtoul(sinks, NULL, 10);
    if (kv_value(s->engine, "reason", &reason, &ignored)) return false;
    size_t n = reason.dim[reason.n_dim - 1], sets = reason.n_dim == 3 ? reason.dim[1] : 1;
    for (size_t i = 0; i < reason.dim[0] * sets; i++) {
        const uint8_t *row = (const uint8_t *)reason.data + i * n;
        size_t j = 0, end = e == EVENT_EMPTY || first > n ? n : first;
        size_t sight = (size_t)kv_cache_sight(s->engine, (int)(i / sets)); /* what nobody reads is no loss */
        if (e == EVENT_EMPTY)
            while (j < end && !row[j]) j++; /* 0 is "evicted" */
        else
            while (j < end && (row[j] || j < sight)) j++;
        if (e == EVENT_EMPTY ? j < end : j == end) continue;
        int at = snprintf(text, size, sets > 1 ? "L%zu KV head %zu" : "L%zu", i / sets, i % sets);
        if (e == EVENT_EMPTY)
            snprintf(text + at, size - (size_t)at, " keeps nothing");
        else
            snprintf(text + at, size - (size_t)at, " loses @%zu", j);
        return true;
    }
    return false;
}

static bool happened(
    struct session *s, int e, const struct kv_where *now, const struct kv_where *before, char *text, size_t size)
{
    bool compressed = before->phase == KV_PHASE_compress && now->phase != KV_PHASE_compress;
    char *said = NULL;
    bool yes = false;
    switch (e) {
    case EVENT_EMPTY:
    case EVENT_SINKLOSS: return compressed && layer_event(s, e, text, size);
    case EVENT_CLAMP: yes = compressed && catch_anyway(s, CATCH_clamp, now, before, &said); break;
    case EVENT_EOS: /* the line that says how the request finished tells it anyway */
        text[0] = '\0';
        return stops_at(s, e) && now->phase == KV_PHASE_done && catch_anyway(s, CATCH_eos, now, before, NULL);
    default: return false;
    }
    snprintf(text, size, "%s", said ? said : "");
    free(said);
    return yes;
}

bool events_here(struct session *s, const struct kv_where *now, const struct kv_where *before)
{
    char text[400];
    bool stopped = false;
    if (now->phase == before->phase) return false;
    for (int e = 0; e < EVENT_COUNT && !stopped; e++) {
        bool heard = stops_at(s, e) || prints(s, e);
        if (!heard || stops_catch(&s->stops, (int)events[e].what) ||
            !happened(s, e, now, before, text, sizeof text))
            continue;
        tell(s, e, text);
        stopped = stops_at(s, e) && stop(s, e, now);
    }
    return stopped;
}

bool events_struck(struct session *s, enum kv_status status, const struct kv_where *now)
{
    int e = status == KV_EVENT ? EVENT_NAN : status == KV_NO_MEMORY ? EVENT_OOM : EVENT_COUNT;
    if (e == EVENT_COUNT) return false;
    struct kv_error err = s->err;
    bool caught = stops_struck(s, (int)events[e].what, now);
    s->err = err;
    if (caught || e == EVENT_OOM || !stops_at(s, e)) return caught; /* else the command fails */
    tell(s, e, err.text);
    return stop(s, e, now);
}

int events_exit(const struct session *s) { return strncmp(s->stop_reason, "signal ", 7) ? 0 : 6; }

/* --- handle, info signals ------------------------------------------------------------------------------------------------ */

static void table_head(struct session *s) { fprintf(s->out, "Signal        Stop\tPrint\tDescription\n"); }

static void table_row(struct session *s, int e)
{
    rows_new(s);
    rows_text(s, "Signal", events[e].name);
    rows_flag(s, "Stop", stops_at(s, e));
    rows_flag(s, "Print", prints(s, e));
    rows_text(s, "Description", events[e].help);
    fprintf(s->out, "%-13s %s\t%s\t%s\n", events[e].name, stops_at(s, e) ? "Yes" : "No",
        prints(s, e) ? "Yes" : "No", events[e].help);
}

static int find(const char *name)
{
    for (int e = 0; e < EVENT_COUNT; e++)
        if (!strcasecmp(name, events[e].name)) return e;
    return -1;
}

static void choose(struct session *s, int e, bool stops, bool print)
{
    unsigned bit = 1u << e;
    s->events_stop = stops == events[e].stop ? s->events_stop & ~bit : s->events_stop | bit;
    s->events_print = print == events[e].print ? s->events_print & ~bit : s->events_print | bit;
}

/* What one word does to an event; false for a word that is no action. As in GDB, who stops prints. */
static bool act(struct session *s, int e, const char *word)
{
    bool no = !strncmp(word, "no", 2);
    const char *what = word + 2 * no;
    if (!strcmp(what, "stop"))
        choose(s, e, !no, prints(s, e) || !no);
    else if (!strcmp(what, "print"))
        choose(s, e, stops_at(s, e) && !no, !no);
    else
        return false;
    return true;
}

struct reaction cmd_handle(struct session *s, const char *args)
{
    struct line_words words;
    unsigned chosen = 0;
    if (line_split(args, &words, &s->err)) return failed(s);
    if (!words.count) return refuse(s, KV_BAD_ARG, "Argument required (signal to handle).");
    unsigned stop_was = s->events_stop, print_was = s->events_print;
    for (int i = 0; i < words.count; i++) {
        int e = find(words.word[i]);
        bool all = !strcmp(words.word[i], "all"), action = act(s, 0, words.word[i]);
        s->events_stop = stop_was, s->events_print = print_was;
        if (e < 0 && !all && !action)
            return refuse(s, KV_BAD_ARG, "Unrecognized or ambiguous flag word: \"%.60s\".", words.word[i]);
        if (e == EVENT_COLLAPSE || e == EVENT_DIVERGE)
            return refuse(s, KV_BAD_ARG, "%s has no bound by itself: use \"catch %s BOUND\".", events[e].name,
                e == EVENT_COLLAPSE ? "collapse" : "diverge");
        if (!action) chosen |= all ? (1u << EVENT_COUNT) - 1 : 1u << e;
    }
    chosen &= ~(1u << EVENT_COLLAPSE | 1u << EVENT_DIVERGE);
    if (!chosen) return refuse(s, KV_BAD_ARG, "Argument required (signal to handle).");
    for (int e = 0; e < EVENT_COUNT; e++)
        for (int i = 0; i < words.count && (chosen & 1u << e); i++) act(s, e, words.word[i]);
    table_head(s);
    for (int e = 0; e < EVENT_COUNT; e++)
        if (chosen & 1u << e) table_row(s, e);
    return CHANGED;
}

struct reaction cmd_info_signals(struct session *s, const char *args)
{
    if (*args) {
        int e = find(args);
        if (e < 0) return refuse(s, KV_NOT_FOUND, "No signal \"%.60s\"; see \"info signals\".", args);
        table_head(s);
        table_row(s, e);
        return DONE;
    }
    table_head(s);
    fputc('\n', s->out);
    for (int e = 0; e < EVENT_COUNT; e++) table_row(s, e);
    fprintf(s->out, "\nUse the \"handle\" command to change these tables.\n");
    return DONE;
}
