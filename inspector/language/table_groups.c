/* The rows of prefix groups: info, set, show, export, maintenance. */
#include "inspector/language/table_groups.h"

#include "inspector/stop/break.h"
#include "inspector/context.h"
#include "inspector/expr/display.h"
#include "inspector/language/define.h"
#include "inspector/stop/events.h"
#include "inspector/policy/edits.h"
#include "inspector/picture/export.h"
#include "inspector/stop/frames.h"
#include "inspector/language/help.h"
#include "inspector/info.h"
#include "inspector/stop/info_frame.h"
#include "inspector/language/init.h"
#include "inspector/policy/judge.h"
#include "inspector/lab/tune.h"
#include "inspector/lab/bounds.h"
#include "inspector/lab/runs.h"
#include "inspector/language/logging.h"
#include "inspector/time/marks.h"
#include "inspector/picture/picture.h"
#include "inspector/policy/policy.h"
#include "inspector/expr/print.h"
#include "inspector/progress.h"
#include "inspector/prompt.h"
#include "inspector/stop/reads.h"
#include "inspector/run.h"
#include "inspector/language/script.h"
#include "inspector/set.h"
#include "inspector/tui/tui.h"
#include "inspector/stop/threads.h"
#include "inspector/expr/whatis.h"
#include "inspector/stop/stop_list.h"
#include "inspector/time/time.h"

const struct command info_table[] = {
    { "model", NULL, GROUP_LOOKING, "", "Shape, size and file of the model", NULL, REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_info_model, NULL },
    { "engine", NULL, GROUP_LOOKING, "", "Backend, SIMD path, threads, precision, and the time of each phase", NULL,
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE, cmd_info_engine, NULL },
    { "backend", NULL, GROUP_LOOKING, "", "What computes: device, memory, how often each op was called",
        "Bytes of caches and activations (live, peak), of scratch, of weights copied to a device; ops called, "
        "and the kernels\n"
        "and graphs that they took on a GPU, where neighbours share a kernel, and how often the host "
        "waited for it; the time\n"
        "of each phase. After \"maint time ops on\" ops are launched one by one and timed: times, share of "
        "all, and the\n"
        "time of one; what a kernel does at once has a row of its own.",
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE, cmd_info_backend, NULL },
    { "program", "prog", GROUP_LOOKING, "", "Where the request stands and why it stopped", NULL, REPEAT_SAME,
        NEEDS_RUN, COMPLETE_NONE, cmd_info_program, NULL },
    { "kv", NULL, GROUP_LOOKING, "[sharing [layer R] | regret [OPTION...]]",
        "The cache in three lines; or what it costs to share kept sets, or to evict",
        "Shape, resident and active bytes. sharing sets the tokens that all heads of a layer share beside each KV "
        "head's\n"
        "own best of the same number, by the selector of the last compress: tokens in both of those in either, "
        "and\n"
        "the share of the heads' attention that each set holds. Nothing runs again. regret is the command of that "
        "name.",
        REPEAT_SAME, NEEDS_RUN, COMPLETE_NONE, cmd_info_kv, NULL },
    { "layers", NULL, GROUP_LOOKING, "[layer N]", "Entropy, budget and use of each layer", NULL, REPEAT_SAME,
        NEEDS_RUN, COMPLETE_NONE, cmd_info_layers, NULL },
    { "heads", NULL, GROUP_LOOKING, "[layer N]", "Entropy of each head of a layer", NULL, REPEAT_SAME, NEEDS_RUN,
        COMPLETE_NONE, cmd_info_heads, NULL },
    { "budget", NULL, GROUP_LOOKING, "[layer N]",
        "Entropy, weight, requested, applied and used tokens of each layer", NULL, REPEAT_SAME, NEEDS_PREFILL,
        COMPLETE_NONE, cmd_info_budget, NULL },
    { "kept", NULL, GROUP_LOOKING, "[layer N]", "Which positions each layer keeps",
        "Where the cache was compressed again in decode (policy.every), tokens behind the prompt are among them.",
        REPEAT_SAME, NEEDS_PREFILL, COMPLETE_NONE, cmd_info_kept, NULL },
    { "policy", NULL, GROUP_LOOKING, "", "The policy in force, setting by setting, and its edits", NULL,
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE, cmd_show_policy, NULL },
    { "tokens", NULL, GROUP_LOOKING, "[TOKENS]", "Position, id, text and survival of prompt tokens", TOKENS,
        REPEAT_SAME, NEEDS_PROMPT, COMPLETE_NONE, cmd_info_tokens, NULL },
    { "mem", NULL, GROUP_LOOKING, "", "Bytes as allocated, beside the formula", NULL, REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_info_mem, NULL },
    { "bounds", NULL, GROUP_LOOKING, "[SHARE]", "What any policy can save at most, predicted from bytes",
        "SHARE is the kept share, policy.ratio if left out.  Of weights and KV, and of the bytes of a decode step, "
        "no\n"
        "more goes than (1 - SHARE) KV / (weights + KV).  \"keep for\" is the share that would make the two "
        "figures of\n"
        "the paper, -4.18 % memory and -46.6 % decoding time (Kim & Jung 2025).",
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE, cmd_info_bounds, NULL },
    { "reply", NULL, GROUP_LOOKING, "", "The reply so far", NULL, REPEAT_SAME, NEEDS_RUN, COMPLETE_NONE,
        cmd_info_reply, NULL },
    { "inferiors", NULL, GROUP_LOOKING, "", "The runs of this prefill: policy, bytes and where they stand", NULL,
        REPEAT_SAME, NEEDS_RUN, COMPLETE_NONE, cmd_info_inferiors, NULL },
    { "breakpoints", "b br", GROUP_STOPS, "[N]", "Breakpoints, watchpoints, catchpoints and their hit counts", NULL,
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE, cmd_info_breakpoints, NULL },
    { "signals", NULL, GROUP_STOPS, "[EVENT]", "Events of the engine, and which of them stop or are told", NULL,
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE, cmd_info_signals, NULL },
    { "watchpoints", "wat", GROUP_STOPS, "[N]", "Watchpoints and their hit counts", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_info_watchpoints, NULL },
    { "display", NULL, GROUP_LOOKING, "", "Expressions that are shown at every stop", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_info_display, NULL },
    { "record", "rec", GROUP_RUNNING, "", "Lowest, current and highest tick on record, and what it takes", NULL,
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE, cmd_info_record, NULL },
    { "checkpoints", NULL, GROUP_RUNNING, "", "All checkpoints; a star where the request stands", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_info_checkpoints, NULL },
    { "args", "ar", GROUP_LOOKING, "", "The policy in force", NULL, REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE,
        cmd_info_args, NULL },
    { "locals", "lo", GROUP_LOOKING, "", "Values of the selected frame: of its layer, pass, phase or request", NULL,
        REPEAT_SAME, NEEDS_RUN, COMPLETE_NONE, cmd_info_locals, NULL },
    { "registers", "r reg", GROUP_LOOKING, "[NAME]...", "Numbers of the focused layer", NULL, REPEAT_SAME,
        NEEDS_RUN, COMPLETE_NONE, cmd_info_registers, NULL },
    { "threads", "th", GROUP_LOOKING, "", "The KV heads of the focused layer", NULL, REPEAT_SAME, NEEDS_RUN,
        COMPLETE_NONE, cmd_info_threads, NULL },
    { "scope", "sc", GROUP_LOOKING, "", "Every value by name, with its type, or when it will be there", NULL,
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE, cmd_info_scope, NULL },
    { "line", "li", GROUP_LOOKING, "", "The ticks of the pass under way", NULL, REPEAT_SAME, NEEDS_RUN,
        COMPLETE_NONE, cmd_info_line, NULL },
    { "source", NULL, GROUP_LOOKING, "", "The prompt: file, lines, bytes, tokens", NULL, REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_info_source, NULL },
    { "frame", "f", GROUP_LOOKING, "", "All about the selected frame", NULL, REPEAT_SAME, NEEDS_RUN, COMPLETE_NONE,
        cmd_info_frame, NULL },
    { "edits", NULL, GROUP_CHANGING, "", "Every change of the policy, with its tick and place; what was undone",
        NULL, REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE, cmd_info_edits, NULL },
    { "settings", NULL, GROUP_LOOKING, "", "Every setting with its value, meaning and legal values", NULL,
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE, cmd_info_settings, NULL },
    { "win", NULL, GROUP_SCREEN, "", "The windows that the screen shows", NULL, REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_info_win, NULL },
    { "png", NULL, GROUP_LOOKING, "FILE", "The recipe inside a picture", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_FILE, cmd_info_png, NULL },
    { 0 },
};

const struct command catch_table[] = {
#define X(name, typed, args, help)                                                                                 \
    { typed, NULL, GROUP_STOPS, args, help, NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_catch_##name,    \
        NULL },
    CATCH_EVENTS(X)
#undef X
        { 0 },
};

const struct command save_table[] = {
    { "breakpoints", NULL, GROUP_STOPS, "[-f] FILE", "Write all breakpoints as a script that sets them again",
        "A file that this session did not write is only overwritten with -f.", REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_FILE, cmd_save_breakpoints, NULL },
    { "policy", NULL, GROUP_CHANGING, "[-f] FILE",
        "Write the policy and its edits as a script that makes them again",
        "Edits belong to the prompt.  A file that this session did not write is only overwritten with -f.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE, cmd_save_policy, NULL },
    { 0 },
};

const struct command policy_table[] = {
    { "undo", NULL, GROUP_CHANGING, "", "Take back the last change of the policy", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_policy_undo, NULL },
    { "redo", NULL, GROUP_CHANGING, "", "Do again what was undone last", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_policy_redo, NULL },
    { 0 },
};

const struct command kv_table[] = {
    { "pin", NULL, GROUP_CHANGING, "TOKENS [layer R]", "Keep tokens whatever their score",
        TOKENS "\nR is a layer or A..B; without it, all.  A layer's budget rises to hold its pins.", REPEAT_NEVER,
        NEEDS_PROMPT, COMPLETE_TOKENS, cmd_kv_pin, NULL },
    { "evict", NULL, GROUP_CHANGING, "TOKENS [layer R]",
        "Drop tokens whatever their score, sinks and recent ones too",
        TOKENS "\nR is a layer or A..B; without it, all.", REPEAT_NEVER, NEEDS_PROMPT, COMPLETE_TOKENS,
        cmd_kv_evict, NULL },
    { "unpin", NULL, GROUP_CHANGING, "[TOKENS [layer R]]", "Leave tokens to the policy again, or all", TOKENS,
        REPEAT_NEVER, NEEDS_PROMPT, COMPLETE_TOKENS, cmd_kv_unpin, NULL },
    { 0 },
};

const struct command thread_table[] = {
    { "apply", NULL, GROUP_LOOKING, "all|LIST [-ascending] [-q|-c|-s] COMMAND",
        "Apply a command to several KV heads",
        "-q: no headers; -c: go on behind an error; -s: say nothing of those that fail.", REPEAT_NEVER, NEEDS_RUN,
        COMPLETE_COMMAND, cmd_thread_apply, NULL },
    { 0 },
};

const struct command delete_table[] = {
    { "breakpoints", NULL, GROUP_STOPS, "[N]...", "Delete breakpoints by number, or all", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_delete, NULL },
    { "checkpoint", NULL, GROUP_RUNNING, "N|NAME", "Delete a checkpoint", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_delete_checkpoint, NULL },
    { "display", NULL, GROUP_LOOKING, "[N]...", "Cancel some displays, or all", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_undisplay, NULL },
    { 0 },
};

const struct command enable_table[] = {
    { "breakpoints", NULL, GROUP_STOPS, "[N]...", "Let breakpoints stop again", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_enable, NULL },
    { "count", NULL, GROUP_STOPS, "COUNT N...", "Let breakpoints stop COUNT times, then disable them", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_enable_count, NULL },
    { "delete", NULL, GROUP_STOPS, "N...", "Let breakpoints stop once, then delete them", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_enable_delete, NULL },
    { "once", NULL, GROUP_STOPS, "N...", "Let breakpoints stop once, then disable them", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_enable_once, NULL },
    { "display", NULL, GROUP_LOOKING, "[N]...", "Show displays again", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_enable_display, NULL },
    { 0 },
};

const struct command disable_table[] = {
    { "breakpoints", NULL, GROUP_STOPS, "[N]...", "Keep breakpoints from stopping", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_disable, NULL },
    { "display", NULL, GROUP_LOOKING, "[N]...", "Keep displays from being shown", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_disable_display, NULL },
    { 0 },
};

static const struct command set_print_table[] = {
    { "array", NULL, GROUP_SESSION, "[on|off]", "Whether print puts each element on a line of its own", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_set_print_array, NULL },
    { "array-indexes", NULL, GROUP_SESSION, "[on|off]", "Whether print shows the index of each element",
        "Of what was cut from an array, the index there: kept[3][\"fox\"] says which tokens.", REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_set_print_indexes, NULL },
    { "elements", NULL, GROUP_SESSION, "N|unlimited", "How many array elements or characters print shows", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_set_print_elements, NULL },
    { "repeats", NULL, GROUP_SESSION, "N|unlimited", "How many equal elements print shows once", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_set_print_repeats, NULL },
    { 0 },
};

static const struct command show_print_table[] = {
    { "array", NULL, GROUP_SESSION, "", "Whether print puts each element on a line of its own", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_show_print_array, NULL },
    { "array-indexes", NULL, GROUP_SESSION, "", "Whether print shows the index of each element", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_show_print_indexes, NULL },
    { "elements", NULL, GROUP_SESSION, "", "How many array elements or characters print shows", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_show_print_elements, NULL },
    { "repeats", NULL, GROUP_SESSION, "", "How many equal elements print shows once", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_show_print_repeats, NULL },
    { 0 },
};

const struct command record_table[] = {
    { "goto", NULL, GROUP_RUNNING, "TICK|begin|start|end", "Go to a tick of this branch", NULL, REPEAT_NEVER,
        NEEDS_RUN, COMPLETE_VALUE, cmd_record_goto, NULL },
    { "full", NULL, GROUP_HIDDEN, "", "Record every stage, as is always done", NULL, REPEAT_NEVER, NEEDS_RUN,
        COMPLETE_NONE, cmd_record_full, NULL },
    { "passes", NULL, GROUP_HIDDEN, "", "Record passes only: not done", NULL, REPEAT_NEVER, NEEDS_RUN,
        COMPLETE_NONE, cmd_record_coarse, NULL },
    { "compress", NULL, GROUP_HIDDEN, "", "Record compress only: not done", NULL, REPEAT_NEVER, NEEDS_RUN,
        COMPLETE_NONE, cmd_record_coarse, NULL },
    { "stop", "s", GROUP_HIDDEN, "", "Stop recording: not done", NULL, REPEAT_NEVER, NEEDS_RUN, COMPLETE_NONE,
        cmd_record_stop, NULL },
    { "delete", "del d", GROUP_HIDDEN, "", "Delete what lies ahead: not done", NULL, REPEAT_NEVER, NEEDS_RUN,
        COMPLETE_NONE, cmd_record_delete, NULL },
    { "save", NULL, GROUP_HIDDEN, "", "Save the record: not done", NULL, REPEAT_NEVER, NEEDS_RUN, COMPLETE_NONE,
        cmd_record_save, NULL },
    { 0 },
};

static const struct command set_record_table[] = {
    { "max-bytes", NULL, GROUP_RUNNING, "N|unlimited", "Bound what column sums and checkpoints take together",
        "N bytes, or K, M, G of them.", REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_set_record_bytes, NULL },
    { 0 },
};

static const struct command show_record_table[] = {
    { "max-bytes", NULL, GROUP_RUNNING, "", "How many bytes the record may take", NULL, REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_show_record_bytes, NULL },
    { 0 },
};

static const struct command set_logging_table[] = {
    { "enabled", NULL, GROUP_SESSION, "on|off", "Whether what is printed goes to the log file", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_set_logging_enabled, NULL },
    { "file", NULL, GROUP_SESSION, "FILE", "Where the log goes: kvdbg.txt unless told", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_FILE, cmd_set_logging_file, NULL },
    { "overwrite", NULL, GROUP_SESSION, "on|off", "Whether the log begins anew, or is appended to", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_set_logging_overwrite, NULL },
    { "redirect", NULL, GROUP_SESSION, "on|off", "Whether output goes to the log alone", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_set_logging_redirect, NULL },
    { 0 },
};

static const struct command set_auto_load_table[] = {
    { "safe-path", NULL, GROUP_SESSION, "[FOLDER[:FOLDER]...]", "Folders whose .kvdbginit may run", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE, cmd_set_safe_path, NULL },
    { 0 },
};

static const struct command show_auto_load_table[] = {
    { "safe-path", NULL, GROUP_SESSION, "", "Folders whose .kvdbginit may run", NULL, REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_show_safe_path, NULL },
    { 0 },
};

static const struct command set_tui_table[] = {
    { "color", NULL, GROUP_SCREEN, "auto|none|8|256|truecolor", "How many colors the screen shows",
        "auto: as many as the terminal's description says, none with NO_COLOR.  truecolor needs a description "
        "with\n"
        "direct colors (Debian: ncurses-term) and shows every value of a map instead of twelve steps.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_set_tui_color, NULL },
    { 0 },
};

static const struct command show_tui_table[] = {
    { "color", NULL, GROUP_SCREEN, "", "How many colors the screen shows", NULL, REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_show_tui_color, NULL },
    { 0 },
};

static const struct command set_kv_table[] = {
    { "read-floor", NULL, GROUP_STOPS, "NUMBER", "Attention of a row above which a key counts as read",
        "In [0, 1); 0.05 unless set.", REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_set_read_floor, NULL },
    { "context", NULL, GROUP_SESSION, "PANE[,PANE]...|off", "Panes to print at every stop: entropy, budget, tokens",
        NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_set_kv_context, NULL },
    { 0 },
};

const struct command set_table[] = {
    { "kv", NULL, GROUP_STOPS, "SUBCOMMAND", "Settings of the cache's debugger", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_COMMAND, NULL, set_kv_table },
    { "policy", NULL, GROUP_CHANGING, "PRESET [NAME VALUE]...", "Choose a compression policy by its preset",
        "It takes effect at the next compress: see recompress.", REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_SETTING,
        cmd_set_policy, NULL },
    { "budget", NULL, GROUP_CHANGING, "L N|+N|-N|auto [L N]... | auto",
        "Fix budgets of layers; the others share what is left of the same total",
        "+N and -N count from what the layer would get.  auto gives a layer, or all, back to the policy.",
        REPEAT_NEVER, NEEDS_PROMPT, COMPLETE_LAYER, cmd_set_budget, NULL },
    { "var", "variable", GROUP_CHANGING, "$NAME = EXPR", "Give a convenience variable a value", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_VALUE, cmd_set_var, NULL },
    { "exec-direction", NULL, GROUP_RUNNING, "forward|reverse", "Which way step, next and continue go", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_set_exec_direction, NULL },
    { "record", "rec", GROUP_RUNNING, "max-bytes N|unlimited", "Limits of the record", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_COMMAND, NULL, set_record_table },
    { "confirm", NULL, GROUP_SESSION, "on|off", "Whether to ask before something is lost", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_set_confirm, NULL },
    { "pagination", NULL, GROUP_SESSION, "on|off", "Accepted as in GDB; output is never paged here", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_set_paging, NULL },
    { "height", NULL, GROUP_SESSION, "N|unlimited", "Accepted as in GDB; output is never paged here", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_set_paging, NULL },
    { "width", NULL, GROUP_SESSION, "N|unlimited", "Accepted as in GDB; output is never wrapped here", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_set_paging, NULL },
    { "trace-commands", NULL, GROUP_SESSION, "on|off", "Whether commands are shown before they run, echo apart",
        NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_set_trace, NULL },
    { "print", "p pr", GROUP_SESSION, "SUBCOMMAND", "How print shows values", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_COMMAND, NULL, set_print_table },
    { "print-elements", NULL, GROUP_HIDDEN, "N|unlimited", "The same as set print elements", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_set_print_elements, NULL },
    { "logging", NULL, GROUP_SESSION, "SUBCOMMAND", "A file that gets what is printed", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_COMMAND, NULL, set_logging_table },
    { "tui", NULL, GROUP_SCREEN, "SUBCOMMAND", "How the screen looks", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_COMMAND, NULL, set_tui_table },
    { "auto-load", NULL, GROUP_SESSION, "SUBCOMMAND", "What may run unasked when kvdbg starts", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_COMMAND, NULL, set_auto_load_table },
    { "max-user-call-depth", NULL, GROUP_SESSION, "N", "How deep user-defined commands may call each other", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_set_max_depth, NULL },
    { 0 },
};

static const struct command show_kv_table[] = {
    { "read-floor", NULL, GROUP_STOPS, "", "The attention above which a key counts as read", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_show_read_floor, NULL },
    { "context", NULL, GROUP_SESSION, "", "Panes that are printed at every stop", NULL, REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_show_kv_context, NULL },
    { 0 },
};

const struct command show_table[] = {
    { "tui", NULL, GROUP_SCREEN, "SUBCOMMAND", "How the screen looks", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_COMMAND, NULL, show_tui_table },
    { "kv", NULL, GROUP_STOPS, "SUBCOMMAND", "Settings of the cache's debugger", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_COMMAND, NULL, show_kv_table },
    { "policy", NULL, GROUP_CHANGING, "[-diff]", "The policy in force, setting by setting, and its edits",
        "With -diff, what differs from the preset and from what compress ran with.", REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_show_policy, NULL },
    { "convenience", "conv", GROUP_SESSION, "", "Convenience variables and their values", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_show_convenience, NULL },
    { "values", NULL, GROUP_SESSION, "", "The last ten values of the history", NULL, REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_show_values, NULL },
    { "exec-direction", NULL, GROUP_RUNNING, "", "Which way step, next and continue go", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_show_exec_direction, NULL },
    { "record", "rec", GROUP_RUNNING, "max-bytes", "Limits of the record", NULL, REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_COMMAND, NULL, show_record_table },
    { "confirm", NULL, GROUP_SESSION, "", "Whether kvdbg asks before something is lost", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_show_confirm, NULL },
    { "trace-commands", NULL, GROUP_SESSION, "", "Whether commands are shown before they run", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_show_trace, NULL },
    { "print", "p pr", GROUP_SESSION, "", "How print shows values", NULL, REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_COMMAND, cmd_show_print, show_print_table },
    { "print-elements", NULL, GROUP_HIDDEN, "", "The same as show print elements", NULL, REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_show_print_elements, NULL },
    { "commands", NULL, GROUP_SESSION, "", "The last ten lines typed at the prompt", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_show_commands, NULL },
    { "user", NULL, GROUP_SESSION, "[NAME]", "The lines of user-defined commands", NULL, REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_COMMAND, cmd_show_user, NULL },
    { "logging", NULL, GROUP_SESSION, "", "The log file and whether it is written", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_show_logging, NULL },
    { "auto-load", NULL, GROUP_SESSION, "SUBCOMMAND", "What may run unasked when kvdbg starts", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_COMMAND, NULL, show_auto_load_table },
    { "max-user-call-depth", NULL, GROUP_SESSION, "", "How deep user-defined commands may call each other", NULL,
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE, cmd_show_max_depth, NULL },
    { "version", NULL, GROUP_SESSION, "", "The version of kvdbg", NULL, REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE,
        cmd_show_version, NULL },
    { 0 },
};

const struct command profile_table[] = {
    { "diff", NULL, GROUP_LOOKING, "A B [-ratio LIST]", "Budgets that two profiles give", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_FILE, cmd_profile_diff, NULL },
    { "average", NULL, GROUP_LOOKING, "[-f] A B... -o FILE", "Put the prompts of several profiles into one", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE, cmd_profile_average, NULL },
    { 0 },
};

const struct command export_table[] = {
    { "png", NULL, GROUP_LOOKING, "[-f] [-raw16] FILE WHAT", "Write a picture, with the recipe that made it inside",
        PICTURES "\n-raw16 writes the values themselves, a 16-bit grey pixel each: 0 is no data, 1 to 65535 go in "
                 "equal steps "
                 "from the\nnote kvdbg:raw16-min to kvdbg:raw16-max.\nA file that neither this session nor the "
                 "same recipe wrote is only overwritten with -f.",
        REPEAT_NEVER, NEEDS_RUN, COMPLETE_FILE, cmd_export_png, NULL },
    { "npy", NULL, GROUP_LOOKING, "[-f] FILE EXPR|WHAT",
        "Write an array for numpy: an expression, or what a picture shows", EXPRESSIONS "\n" PICTURES, REPEAT_NEVER,
        NEEDS_PROMPT, COMPLETE_FILE, cmd_export_npy, NULL },
    { "csv", NULL, GROUP_LOOKING, "[-f] FILE budget|EXPR",
        "Write a table: the budgets, or an expression element by element", EXPRESSIONS, REPEAT_NEVER, NEEDS_PROMPT,
        COMPLETE_FILE, cmd_export_csv, NULL },
    { 0 },
};

const struct command tui_table[] = {
    { "enable", NULL, GROUP_SCREEN, "", "Show the screen", NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE,
        cmd_tui_enable, NULL },
    { "disable", NULL, GROUP_SCREEN, "", "Go back to the plain prompt", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_tui_disable, NULL },
    { "new-layout", NULL, GROUP_SCREEN, "NAME WINDOW WEIGHT...", "Make a layout",
        "{-horizontal WINDOW WEIGHT...} WEIGHT stands for a window and puts its windows side by side.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_tui_new_layout, NULL },
    { 0 },
};

const struct command maint_table[] = {
    { "help-markdown", NULL, GROUP_HIDDEN, "", "README's table of commands", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_help_markdown, NULL },
    { "man", NULL, GROUP_HIDDEN, "", "The manual page, in roff", NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE,
        cmd_man, NULL },
    { "hash", NULL, GROUP_HIDDEN, "", "A number for all that the rest of the request depends on", NULL, REPEAT_SAME,
        NEEDS_RUN, COMPLETE_NONE, cmd_maint_hash, NULL },
    { "interrupt", NULL, GROUP_HIDDEN, "N", "Send SIGINT at the Nth report of progress from now on", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_maint_interrupt, NULL },
    { "time", NULL, GROUP_HIDDEN, "ops on|off", "Time each op on the GPU, for info backend", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_maint_time, NULL },
    { "which", NULL, GROUP_HIDDEN, "WORDS", "The full name of the command that WORDS mean", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_COMMAND, cmd_which, NULL },
    { 0 },
};
