/* GDB's way of options (one dash will do, -ex and -x in the order given), kvdbg's names. */
#include "inspector/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPT_TEXT = 256,
    OPT_PROMPT_IDS,
    OPT_QUESTION,
    OPT_CHAT,
    OPT_EX,
    OPT_BATCH,
    OPT_IEX,
    OPT_IX,
    OPT_NX,
    OPT_NH,
    OPT_NW,
    OPT_KEYS,
    OPT_BACKEND,
    OPT_PRECISION,
    OPT_KV,
    OPT_THREADS,
    OPT_KEEP_GOING,
    OPT_GDB_EXIT,
    OPT_ON_ERROR,
    OPT_CD,
    OPT_READONLY,
    OPT_VERSION,
    OPT_HELP,
    OPT_JSON,
    OPT_INTERPRETER,
    OPT_FOR_EACH,
    OPT_SHARD,
    OPT_COLOR,
};

const char *const screen_color_name[] = { "auto", "none", "8", "256", "truecolor", NULL };

static const struct option long_options[] = {
    { "prompt", required_argument, NULL, 'p' },
    { "text", required_argument, NULL, OPT_TEXT },
    { "prompt-ids", required_argument, NULL, OPT_PROMPT_IDS },
    { "question", required_argument, NULL, OPT_QUESTION },
    { "chat", required_argument, NULL, OPT_CHAT },
    { "ex", required_argument, NULL, OPT_EX },
    { "batch", no_argument, NULL, OPT_BATCH },
    { "iex", required_argument, NULL, OPT_IEX },
    { "ix", required_argument, NULL, OPT_IX },
    { "nx", no_argument, NULL, OPT_NX },
    { "nh", no_argument, NULL, OPT_NH },
    { "nw", no_argument, NULL, OPT_NW },
    { "keys", required_argument, NULL, OPT_KEYS },
    { "color", required_argument, NULL, OPT_COLOR },
    { "quiet", no_argument, NULL, 'q' },
    { "backend", required_argument, NULL, OPT_BACKEND },
    { "precision", required_argument, NULL, OPT_PRECISION },
    { "kv", required_argument, NULL, OPT_KV },
    { "threads", required_argument, NULL, OPT_THREADS },
    { "keep-going", no_argument, NULL, OPT_KEEP_GOING },
    { "gdb-exit", no_argument, NULL, OPT_GDB_EXIT },
    { "on-error", required_argument, NULL, OPT_ON_ERROR },
    { "cd", required_argument, NULL, OPT_CD },
    { "readonly", no_argument, NULL, OPT_READONLY },
    { "version", no_argument, NULL, OPT_VERSION },
    { "help", no_argument, NULL, OPT_HELP },
    { "core", required_argument, NULL, 'c' },
    { "json", no_argument, NULL, OPT_JSON },
    { "interpreter", required_argument, NULL, OPT_INTERPRETER },
    { "for-each", required_argument, NULL, OPT_FOR_EACH },
    { "shard", required_argument, NULL, OPT_SHARD },
    { NULL, 0, NULL, 0 },
};

static enum kv_status add_action(struct options *o, bool file, bool early, const char *text, struct kv_error *err)
{
    struct option_action *grown = realloc(o->action, ((size_t)o->n_action + 1) * sizeof *grown);
    if (!grown) return kv_fail(err, KV_NO_MEMORY, "No memory for the command line.");
    o->action = grown;
    o->action[o->n_action++] = (struct option_action){ file, early, text };
    return KV_OK;
}

static enum kv_status take_shard(struct options *o, const char *arg, struct kv_error *err)
{
    int used = 0;
    if (sscanf(arg, "%9ld/%9ld%n", &o->shard, &o->shards, &used) != 2 || arg[used] || o->shard < 1 ||
        o->shard > o->shards)
        return kv_fail(err, KV_BAD_ARG, "--shard is I/N with 1 <= I <= N, not \"%.40s\".", arg);
    return KV_OK;
}

static enum kv_status take(struct options *o, int option, const char *arg, struct kv_error *err)
{
    switch (option) {
    case 'p': o->prompt = arg; return KV_OK;
    case 'x': return add_action(o, true, false, arg, err);
    case 'q': o->quiet = true; return KV_OK;
    case 'c': o->core = arg; return KV_OK;
    case OPT_TEXT: o->text = arg; return KV_OK;
    case OPT_PROMPT_IDS: o->prompt_ids = arg; return KV_OK;
    case OPT_QUESTION: o->question = *arg ? arg : NULL; return KV_OK;
    case OPT_CHAT:
        if (strcmp(arg, "on") && strcmp(arg, "off"))
            return kv_fail(err, KV_BAD_ARG, "--chat is on or off, not \"%.40s\".", arg);
        o->chat = !strcmp(arg, "on");
        return KV_OK;
    case OPT_EX: return add_action(o, false, false, arg, err);
    case OPT_IEX: return add_action(o, false, true, arg, err);
    case OPT_IX: return add_action(o, true, true, arg, err);
    case OPT_BATCH: o->batch = true; return KV_OK;
    case OPT_NX: o->no_init = true; return KV_OK;
    case OPT_NH: o->no_home_init = true; return KV_OK;
    case OPT_NW: o->no_window = true; return KV_OK;
    case OPT_KEYS: o->keys = arg; return KV_OK;
    case OPT_COLOR:
        for (o->color = 0; screen_color_name[o->color] && strcmp(arg, screen_color_name[o->color]);) o->color++;
        if (screen_color_name[o->color]) return KV_OK;
        return kv_fail(err, KV_BAD_ARG, "--color is auto, none, 8, 256 or truecolor, not \"%.40s\".", arg);
    case OPT_BACKEND: o->backend = arg; return KV_OK;
    case OPT_PRECISION: o->precision = arg; return KV_OK;
    case OPT_KV: o->kv = arg; return KV_OK;
    case OPT_THREADS: o->threads = arg; return KV_OK;
    case OPT_KEEP_GOING: o->keep_going = true; return KV_OK;
    case OPT_GDB_EXIT: o->gdb_exit = true; return KV_OK;
    case OPT_ON_ERROR: o->on_error = arg; return KV_OK;
    case OPT_CD: o->cd = arg; return KV_OK;
    case OPT_READONLY: o->readonly = true; return KV_OK;
    case OPT_JSON: o->json = true; return KV_OK;
    case OPT_INTERPRETER:
        if (strcmp(arg, "console") && strcmp(arg, "jsonl"))
            return kv_fail(err, KV_BAD_ARG, "--interpreter is console or jsonl, not \"%.40s\".", arg);
        o->json = !strcmp(arg, "jsonl");
        return KV_OK;
    case OPT_FOR_EACH:
        o->for_each = arg;
        o->batch = true;
        return KV_OK;
    case OPT_SHARD: return take_shard(o, arg, err);
    case OPT_VERSION: o->version = true; return KV_OK;
    case OPT_HELP: o->help = true; return KV_OK;
    default: return kv_fail(err, KV_BAD_ARG, "Unrecognized option.  Use `kvdbg --help' for a list of options.");
    }
}

/* Options that do not go together. */
static enum kv_status check(const struct options *o, struct kv_error *err)
{
    if (o->core && (o->prompt || o->text || o->prompt_ids || o->question))
        return kv_fail(err, KV_BAD_ARG,
            "A core file has its own prompt: --prompt, --text, --prompt-ids and --question need a model to run.");
    if (o->core && o->for_each)
        return kv_fail(err, KV_BAD_ARG, "A core file has its own prompt: --for-each needs a model to run.");
    if (o->prompt && o->text) return kv_fail(err, KV_BAD_ARG, "Both --prompt and --text are given; choose one.");
    if (o->prompt_ids && (o->prompt || o->text))
        return kv_fail(
            err, KV_BAD_ARG, "Both --%s and --prompt-ids are given; choose one.", o->prompt ? "prompt" : "text");
    if (o->prompt_ids && (o->question || o->chat == 1))
        return kv_fail(err, KV_BAD_ARG, "--%s is about a text and does not go with --prompt-ids.",
            o->question ? "question" : "chat");
    if (o->shards && !o->for_each)
        return kv_fail(err, KV_BAD_ARG, "--shard needs rows to share out: --for-each FILE.");
    if (o->for_each && !o->n_action)
        return kv_fail(err, KV_BAD_ARG, "--for-each needs commands to run for each row: -x FILE or -ex COMMAND.");
    if (o->keys && (o->json || o->for_each))
        return kv_fail(err, KV_BAD_ARG, "--keys types at a screen, and --json and --for-each have none.");
    if (o->gdb_exit && (o->for_each || o->keep_going))
        return kv_fail(err, KV_BAD_ARG, "--gdb-exit goes with neither --keep-going nor --for-each.");
    return KV_OK;
}

enum kv_status options_parse(struct options *o, int argc, char **argv, struct kv_error *err)
{
    *o = (struct options){ .chat = -1, .program = argc ? argv[0] : "kvdbg" };
    opterr = 0;
    for (;;) {
        int at = optind, index = 0, option = getopt_long_only(argc, argv, "+:p:x:qc:", long_options, &index);
        if (option == -1) {
            if (optind >= argc) break;
            if (o->model)
                return kv_fail(
                    err, KV_BAD_ARG, "Two models are named: \"%.100s\" and \"%.100s\".", o->model, argv[optind]);
            o->model = argv[optind++];
            continue;
        }
        if (option == ':')
            return kv_fail(err, KV_BAD_ARG,
                "Option %.60s requires an argument.  Use `kvdbg --help' for a list of options.", argv[at]);
        if (option == '?')
            return kv_fail(
                err, KV_BAD_ARG, "Unrecognized option %.60s.  Use `kvdbg --help' for a list of options.", argv[at]);
        enum kv_status st = take(o, option, optarg, err);
        if (st) return st;
    }
    return check(o, err);
}

void options_free(struct options *o) { free(o->action); }

void options_print_help(void)
{
    printf(
        "kvdbg: GDB for the KV cache.\n\nUsage: kvdbg [options] [MODEL]\n\n"
        "MODEL is a GGUF file, a Hugging Face folder or synthetic:NAME (random weights, timing only); without it,\n"
        "models/smollm2-135m-instruct-q4_1.gguf, which `make model' fetches.\n\nOptions:\n");
    for (const struct option_row *row = option_rows; row->spelling; row++)
        printf("  %-27s %s\n", row->spelling, row->help);
    printf(
        "\nExit status: 0 all fine; 1 a command failed; 2 bad command line or unreadable script; 3 an assertion\n"
        "failed; 4 model or prompt cannot be loaded; 5 out of memory; 6 an engine event; 130 interrupted;\n"
        "`quit N' exits with N.\n");
}

const struct option_row option_rows[] = {
    { "-p, --prompt FILE", "read the prompt from FILE" },
    { "-c, --core FILE", "look at a core file, without its model" },
    { "--text TEXT", "take TEXT as the prompt" },
    { "--prompt-ids FILE|LIST", "take the token ids in FILE, or those of LIST (1,2,3), as the prompt" },
    { "--question TEXT", "ask TEXT about the prompt" },
    { "--chat on|off", "wrap the prompt in the model's chat template (default: where it has one)" },
    { "-x FILE", "run the commands in FILE" },
    { "-ex COMMAND", "run one COMMAND; -x and -ex run in the order given" },
    { "-ix FILE, -iex COMMAND", "the same, before the init file of the current folder is read" },
    { "-batch", "exit after the commands; stop at the first that fails" },
    { "--keep-going", "with -batch, go on after a failure; with --for-each, after a failed row" },
    { "--json", "objects instead of text, one a line; --interpreter=jsonl is the same" },
    { "--for-each FILE.jsonl", "run the commands once for each row of FILE, its fields as variables" },
    { "--shard I/N", "with --for-each, only the I-th of N shares of the rows" },
    { "--on-error COMMAND", "with -batch, run COMMAND when a command has failed" },
    { "--gdb-exit", "with -batch, go on after a failure, and exit as GDB does: 1 if the last -x or -ex failed" },
    { "--cd FOLDER", "change to FOLDER first" },
    { "--readonly", "refuse commands that write files or start other programs" },
    { "-q, --quiet", "do not print the greeting" },
    { "-nx", "do not read init files" },
    { "-nh", "do not read the init file of the home folder" },
    { "-nw", "use the plain prompt" },
    { "--color N", "colors of the screen: auto (default), none, 8, 256, truecolor" },
    { "--keys FILE", "draw the screen nowhere: keys come from FILE, which says when to print it" },
    { "--backend auto|cpu|cuda", "what computes" },
    { "--precision fast|f32|int8", "f32 is the reference" },
    { "--kv f16|f32|bf16", "element type of K and V" },
    { "--threads N", "number of threads" },
    { "--version", "print the version and exit" },
    { "--help", "print this and exit" },
    { NULL, NULL },
};
