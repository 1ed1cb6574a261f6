/* What is there: model, engine, memory, place, reply. */
#include "inspector/info.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/bytes.h"
#include "engine/device.h"
#include "engine/edit.h"
#include "engine/look.h"
#include "inspector/language/line.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"

/* The window, the layers that it is for, and whether it is switched off. */
static void print_window(struct session *s, const struct kv_model_facts *f)
{
    char set[16] = "";
    struct kv_error ignored;
    kv_get(s->engine, "engine.sliding", set, sizeof set, &ignored);
    fprintf(s->out, ", sliding window %d", f->sliding_window);
    if (strcmp(f->sliding_layers, "all")) fprintf(s->out, " in layers %s", f->sliding_layers);
    if (!strcmp(set, "off")) fprintf(s->out, " (engine.sliding is off)");
}

struct reaction cmd_info_model(struct session *s, const char *args)
{
    const struct kv_model_facts *f = &s->facts;
    char bytes[32], exact[32];
    (void)args;
    rows_new(s);
    rows_text(s, "Model", f->path);
    rows_text(s, "Name", f->name);
    rows_text(s, "Architecture", f->arch);
    rows_flag(s, "Synthetic", f->synthetic);
    rows_number(s, "Layers", f->n_layer);
    rows_number(s, "Hidden", f->hidden);
    rows_number(s, "FFN", f->n_ff);
    rows_number(s, "Heads", f->n_head);
    rows_number(s, "KV heads", f->n_kv_head);
    rows_number(s, "Head dim", f->head_dim);
    rows_number(s, "Vocabulary", f->n_vocab);
    rows_number(s, "Context", f->n_context);
    rows_number(s, "Sliding window", f->sliding_window ? f->sliding_window : NAN);
    rows_text(s, "Sliding layers", f->sliding_layers);
    rows_text(s, "RoPE scaling", f->rope);
    rows_number(s, "Weights", (double)f->weight_bytes);
    rows_unit(s, "Weights", "bytes");
    fprintf(s->out, "Model:          %s%s\n", f->path, session_mark(s));
    fprintf(s->out, "Name:           %s (%s)\n", f->name, f->arch);
    fprintf(s->out, "Layers:         %d\n", f->n_layer);
    fprintf(s->out, "Hidden:         %d, FFN %d\n", f->hidden, f->n_ff);
    fprintf(s->out, "Heads:          %d query, %d KV (groups of %d), head dim %d\n", f->n_head, f->n_kv_head,
        f->n_head / f->n_kv_head, f->head_dim);
    fprintf(s->out, "Vocabulary:     %d tokens\n", f->n_vocab);
    fprintf(s->out, "Context:        %d tokens", f->n_context);
    if (f->sliding_window) print_window(s, f);
    if (strcmp(f->rope, "none")) fprintf(s->out, "\nRoPE scaling:   %s", f->rope);
    fprintf(s->out, "\nWeights:        %s bytes (%s), as stored in the file\n",
        line_thousands(f->weight_bytes, exact), line_bytes((double)f->weight_bytes, bytes));
    return DONE;
}

static void print_phases(struct session *s)
{
    if (!kv_started(s->engine)) return;
    fprintf(s->out, "%-10s %12s %8s %12s   (wall clock, measured)\n", "phase", "ms", "tokens", "tokens/s");
    for (int p = KV_PHASE_prefill; p < KV_PHASE_done; p++) {
        struct kv_time time;
        kv_time(s->engine, (enum kv_phase)p, &time);
        if (time.us <= 0) continue;
        fprintf(s->out, "%-10s %12.1f", kv_phase_name[p], time.us / 1e3);
        if (time.tokens) fprintf(s->out, " %8d %12.1f", time.tokens, 1e6 * time.tokens / time.us);
        rows_new(s);
        rows_text(s, "phase", kv_phase_name[p]);
        rows_number(s, "ms", time.us / 1e3);
        rows_number(s, "tokens", time.tokens ? time.tokens : NAN);
        rows_number(s, "tokens/s", time.tokens ? 1e6 * time.tokens / time.us : NAN);
        fputc('\n', s->out);
    }
}

struct reaction cmd_info_engine(struct session *s, const char *args)
{
    char text[400];
    (void)args;
    kv_describe(s->engine, text, sizeof text);
    rows_fact_text(s, "engine", text);
    fprintf(s->out, "%s\n", text);
    print_phases(s);
    return DONE;
}

static void print_label(struct session *s, const char *name)
{
    fprintf(s->out, "%s:%*s", name, 10 - (int)strlen(name), "");
}

static void print_memory(struct session *s, const struct kv_device *d)
{
    const struct {
        const char *name;
        size_t bytes;
    } line[] = { { "Live", d->live }, { "Peak", d->peak }, { "Scratch", d->scratch }, { "Weights", d->uploaded } };
    char bytes[32], exact[32];
    for (size_t i = 0; i < KV_COUNT(line); i++) {
        rows_number(s, line[i].name, (double)line[i].bytes);
        rows_unit(s, line[i].name, "bytes");
        bool theirs = i == 3 && !line[i].bytes;
        print_label(s, line[i].name);
        fprintf(s->out, "%14s bytes (%s)%s\n", line_thousands(line[i].bytes, exact),
            line_bytes((double)line[i].bytes, bytes), theirs ? ": read where the file is mapped" : "");
    }
}

static void print_calls(struct session *s, const struct kv_device *d)
{
    const struct {
        const char *name, *what;
        uint64_t n;
    } line[] = { { "Ops", "called", d->calls }, { "Kernels", "started", d->kernels },
        { "Graphs", "started", d->graphs }, { "Waits", "for the device", d->waits } };
    for (size_t i = 0; i < KV_COUNT(line); i++) {
        if (!line[i].n) continue;
        rows_number(s, line[i].name, (double)line[i].n);
        print_label(s, line[i].name);
        fprintf(s->out, "%14" PRIu64 " %s\n", line[i].n, line[i].what);
    }
}

static void print_ops(struct session *s, const struct kv_device *d)
{
    bool timed = d->us > 0;
    fprintf(s->out, "%-18s %14s", "op", "calls");
    if (timed) fprintf(s->out, " %10s %12s %10s %8s", "timed", "ms", "us/call", "share");
    fputc('\n', s->out);
    for (int i = 0; i < d->n_op; i++) {
        double us = d->op[i].us, share = timed ? us / d->us : NAN;
        uint64_t n = d->op[i].timed;
        rows_new(s);
        rows_text(s, "op", d->op[i].name);
        rows_number(s, "calls", (double)d->op[i].calls);
        fprintf(s->out, "%-18s %14" PRIu64, d->op[i].name, d->op[i].calls);
        if (timed) {
            rows_number(s, "timed", (double)n);
            rows_number(s, "ms", us / 1e3);
            rows_number(s, "us/call", n ? us / (double)n : NAN);
            rows_number(s, "share", share);
            fprintf(s->out, " %10" PRIu64 " %12.3f", n, us / 1e3);
            if (n) fprintf(s->out, " %10.2f %7.1f%%", us / (double)n, 1e2 * share);
        }
        fputc('\n', s->out);
    }
}

struct reaction cmd_info_backend(struct session *s, const char *args)
{
    struct kv_device d;
    (void)args;
    if (kv_device(s->engine, &d, &s->err)) return failed(s);
    rows_new(s);
    rows_text(s, "Backend", d.backend);
    rows_text(s, "Device", d.device);
    print_label(s, "Backend");
    fprintf(s->out, "%s\n", d.backend);
    if (!d.opened) return DONE;
    print_label(s, "Device");
    fprintf(s->out, "%s\n", d.device);
    rows_number(s, "Segment", kv_pass_rows(s->engine));
    print_label(s, "Segment");
    fprintf(s->out, "%14d tokens a prefill pass\n", kv_pass_rows(s->engine));
    print_memory(s, &d);
    print_calls(s, &d);
    print_ops(s, &d);
    print_phases(s);
    return DONE;
}

struct reaction cmd_maint_time(struct session *s, const char *args)
{
    bool on = !strcmp(args, "ops on");
    if (!on && strcmp(args, "ops off"))
        return refuse(s, KV_BAD_ARG, "Usage: maint time ops on|off, got \"%.40s\".", args);
    return kv_time_ops(s->engine, on, &s->err) ? failed(s) : DONE;
}

double info_kv_bytes(struct session *s, double tokens, char *element, size_t size)
{
    static const struct {
        const char *name;
        double bytes;
    } types[] = { { "f16", 2 }, { "bf16", 2 }, { "f32", 4 }, { "q8_0", 34.0 / 32 } };
    struct kv_error ignored;
    char precision[32] = "";
    double bytes = 0;
    element[0] = '\0';
    kv_get(s->engine, "engine.kv", element, size, &ignored);
    kv_get(s->engine, "engine.precision", precision, sizeof precision, &ignored);
    if (!strcmp(precision, "f32")) snprintf(element, size, "f32");
    for (size_t i = 0; i < KV_COUNT(types); i++)
        if (!strcmp(types[i].name, element)) bytes = types[i].bytes;
    return 2.0 * s->facts.n_kv_head * s->facts.head_dim * bytes * tokens;
}

static void memory_line(struct session *s, const char *name, size_t bytes, const char *what)
{
    char exact[32], about[32];
    rows_new(s);
    rows_text(s, "name", name);
    rows_number(s, "bytes", (double)bytes);
    rows_text(s, "what", what);
    rows_unit(s, "bytes", "bytes");
    fprintf(s->out, "%-12s %16s bytes %10s  %s\n", name, line_thousands(bytes, exact),
        line_bytes((double)bytes, about), what);
}

/* Tokens that the cache holds, from the values and not from the bytes, so that the two check each other. */
static double tokens_active(struct session *s)
{
    struct kv_array used;
    struct kv_error ignored;
    double sum = 0;
    if (kv_value(s->engine, "budget.used", &used, &ignored)) return 0;
    for (size_t l = 0; l < used.dim[0]; l++) sum += array_number(&used, l);
    return sum;
}

/* What the prompt will take, before it is run, and what there is. */
static void wanted_line(struct session *s)
{
    struct kv_wanted w;
    struct kv_error ignored;
    char own[32], left[32];
    size_t available = kv_memory_free();
    rows_fact(s, "free", available ? (double)available : NAN);
    if (kv_wanted(s->engine, &w, &ignored)) return;
    rows_fact(s, "wanted", (double)w.own);
    fprintf(s->out, "Wanted by the prompt beside the weights: %s", line_bytes((double)w.own, own));
    if (available) fprintf(s->out, "; free on this machine: %s", line_bytes((double)available, left));
    fputc('\n', s->out);
}

struct reaction cmd_info_mem(struct session *s, const char *args)
{
    struct kv_memory m;
    struct kv_array tok;
    char element[16], exact[32];
    (void)args;
    kv_memory(s->engine, &m);
    fprintf(s->out, "Memory, as allocated (%s)\n", session_mode(s));
    memory_line(s, "weights", m.weights, "mapped, as stored");
    memory_line(s, "KV resident", m.resident, "K and V of the whole prefill");
    memory_line(s, "KV active", m.active, "what decode reads: kept tokens, and room for what comes after");
    memory_line(s, "statistics", m.stats, "entropies, scores, last query rows");
    memory_line(s, "scratch", m.scratch, "activations and the backend's own");
    memory_line(s, "peak", m.peak, "highest resident set of this process, as the kernel counts it");
    if (!kv_started(s->engine)) wanted_line(s);
    if (!kv_started(s->engine) || session_value(s, "tok", &tok)) return DONE;
    double n = (double)tok.dim[0], one = info_kv_bytes(s, 1, element, sizeof element);
    rows_fact(s, "bytes_per_token_and_layer", one);
    fprintf(s->out, "Predicted: 2 x %d KV heads x %d channels x %s = %.0f bytes a token and layer\n",
        s->facts.n_kv_head, s->facts.head_dim, element, one);
    fprintf(s->out, "  resident: %d layers x %.0f tokens = %s bytes\n", s->facts.n_layer, n,
        line_thousands((unsigned long long)(one * n * s->facts.n_layer), exact));
    double used = tokens_active(s);
    if (used > 0)
        fprintf(s->out, "  active:   %.0f tokens over all layers = %s bytes\n", used,
            line_thousands((unsigned long long)(one * used), exact));
    return DONE;
}

struct reaction cmd_info_program(struct session *s, const char *args)
{
    struct kv_where w;
    char where[64], next[256], title[64];
    (void)args;
    kv_where(s->engine, &w);
    location_where(&w, where, sizeof where);
    kv_policy_title(s->engine, KV_POLICY_COMPRESSED, title, sizeof title);
    run_next_text(s, &w, next, sizeof next);
    rows_fact(s, "request", 1);
    rows_fact_text(s, "prompt", s->prompt_name);
    rows_fact_text(s, "at", where);
    rows_fact_text(s, "next", next);
    rows_fact_text(s, "stopped_by", *s->stop_reason ? s->stop_reason : NULL);
    fprintf(s->out, "\tRequest 1 (%s; %s).\nIt stands at %s, tick %llu, branch %d; next: %s\n", s->prompt_name,
        session_mode(s), where, (unsigned long long)w.tick, w.branch, next);
    rows_fact_text(s, "policy", title);
    if (strchr(title, '(')) fprintf(s->out, "Policy: %s.\n", title);
    if (*s->stop_reason) fprintf(s->out, "It stopped by: %s.\n", s->stop_reason);
    return DONE;
}

struct reaction cmd_info_reply(struct session *s, const char *args)
{
    struct kv_array reply;
    bool ended;
    (void)args;
    size_t n = run_reply(s, &reply, &ended);
    if (!n) {
        fprintf(s->out, "No reply yet.\n");
        return DONE;
    }
    for (size_t i = 0; i < n; i++) {
        rows_new(s);
        rows_number(s, "step", (double)i);
        rows_number(s, "id", ((const int32_t *)reply.data)[i]);
        rows_token(s, "text", ((const int32_t *)reply.data)[i]);
    }
    char *text = kv_tokens_text(s->engine, reply.data, (int)n);
    rows_fact_text(s, "reply", text);
    if (!text) return refuse(s, KV_NO_MEMORY, "No memory for a reply of %zu tokens.", n);
    fprintf(s->out, "%zu tokens%s (%s):\n%s\n", n, ended ? ", ended by the model" : "", session_mode(s), text);
    free(text);
    return DONE;
}
