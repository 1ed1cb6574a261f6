/* All commands. The order within a group is the order in which help and README list them. */
#include "inspector/break.h"
#include "inspector/command.h"
#include "inspector/display.h"
#include "inspector/export.h"
#include "inspector/help.h"
#include "inspector/info.h"
#include "inspector/judge.h"
#include "inspector/picture.h"
#include "inspector/print.h"
#include "inspector/printf.h"
#include "inspector/prompt.h"
#include "inspector/run.h"
#include "inspector/script.h"
#include "inspector/set.h"
#include "inspector/table_groups.h"

const char *const command_group_name[GROUP_COUNT] = { "running", "stops", "looking", "changing", "session",
    "hidden" };
const char *const command_group_title[GROUP_COUNT] = { "Running the request",
    "Making the request stop at certain points", "Looking at what is there", "Changing policy, prompt and model",
    "Session, scripts and help", "Maintenance" };

const char *command_needs_text(enum command_needs needs)
{
    static const char *const text[] = { "nothing", "a prompt", "a started request", "a finished prefill",
        "a compressed cache" };
    return text[needs];
}

const struct command command_table[] = {
    { "run", "r", GROUP_RUNNING, "", "Run the request from the beginning to the first stop", NULL, REPEAT_NEVER,
        NEEDS_PROMPT, COMPLETE_NONE, cmd_run, NULL },
    { "start", NULL, GROUP_RUNNING, "", "Begin the request and stop before the prefill's first stage", NULL,
        REPEAT_NEVER, NEEDS_PROMPT, COMPLETE_NONE, cmd_start, NULL },
    { "step", "s", GROUP_RUNNING, "[N]", "Run to the next layer",
        "Argument N means step N times (or until the request stops for another reason).", REPEAT_SAME, NEEDS_RUN,
        COMPLETE_NONE, cmd_step, NULL },
    { "stepi", "si", GROUP_RUNNING, "[N]", "Run exactly one stage",
        "Argument N means step N times (or until the request stops for another reason).", REPEAT_SAME, NEEDS_RUN,
        COMPLETE_NONE, cmd_stepi, NULL },
    { "next", "n", GROUP_RUNNING, "[N]",
        "Run to the next pass: a prefill segment, a decoded token, or all of compress",
        "Argument N means step N times (or until the request stops for another reason).", REPEAT_SAME, NEEDS_RUN,
        COMPLETE_NONE, cmd_next, NULL },
    { "continue", "c fg", GROUP_RUNNING, "[N]", "Run to the next stop",
        "At a breakpoint, N means to pass it by N-1 times first.", REPEAT_SAME, NEEDS_RUN, COMPLETE_NONE,
        cmd_continue, NULL },
    { "finish", "fin", GROUP_RUNNING, "[stage|layer|pass|phase]",
        "Run until the layer ends, or the pass, or what is named", NULL, REPEAT_SAME, NEEDS_RUN, COMPLETE_NONE,
        cmd_finish, NULL },
    { "recompress", NULL, GROUP_RUNNING, "", "Go back to the start of compress:0 with the policy as it is now",
        "The prefill is not repeated, and what was decoded is dropped: a new branch of history.", REPEAT_NEVER,
        NEEDS_PREFILL, COMPLETE_NONE, cmd_recompress, NULL },

    { "break", "br b brea", GROUP_STOPS, "[LOCATION] [if EXPR]", "Stop at a place, or here",
        LOCATIONS "\nA condition on what is not there yet counts as false.", REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_LOCATION, cmd_break, NULL },
    { "tbreak", "tb", GROUP_STOPS, "[LOCATION] [if EXPR]", "Stop at a place once", LOCATIONS, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_LOCATION, cmd_tbreak, NULL },
    { "delete", "d del", GROUP_STOPS, "[N]...", "Delete breakpoints by number, or all", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_delete, delete_table },
    { "enable", "en", GROUP_STOPS, "[N]...", "Let breakpoints stop again", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_enable, enable_table },
    { "disable", "dis disa", GROUP_STOPS, "[N]...", "Keep breakpoints from stopping", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_disable, disable_table },
    { "condition", "cond", GROUP_STOPS, "N [EXPR]", "Stop at breakpoint N only if EXPR holds; without EXPR, always",
        EXPRESSIONS, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_VALUE, cmd_condition, NULL },
    { "ignore", "ign", GROUP_STOPS, "N COUNT", "Pass breakpoint N by COUNT times", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_ignore, NULL },

    { "info", "i inf", GROUP_LOOKING, "SUBCOMMAND", "Tables about model, engine, cache and request", NULL,
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_COMMAND, NULL, info_table },
    { "print", "p inspect", GROUP_LOOKING, "[-elements N] [-repeats N] [--] [/FMT] [EXPR]",
        "Print the value of an expression", FORMATS "\n" EXPRESSIONS, REPEAT_SAME, NEEDS_NOTHING, COMPLETE_VALUE,
        cmd_print, NULL },
    { "call", NULL, GROUP_LOOKING, "[/FMT] [EXPR]", "Print a value, but not void", FORMATS "\n" EXPRESSIONS,
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_VALUE, cmd_call, NULL },
    { "output", NULL, GROUP_LOOKING, "[/FMT] EXPR", "Print a value without $N = and without a newline",
        FORMATS "\n" EXPRESSIONS, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_VALUE, cmd_output, NULL },
    { "printf", NULL, GROUP_LOOKING, "\"FORMAT\", EXPR...", "Formatted printing, as of the C function",
        "%s takes a text, a token or any other value; %d and %x whole numbers, %f and %g all.\n" EXPRESSIONS,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_VALUE, cmd_printf, NULL },
    { "display", NULL, GROUP_LOOKING, "[/FMT] [EXPR]", "Print an expression at every stop, or all of them now",
        FORMATS "\n" EXPRESSIONS, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_VALUE, cmd_display, NULL },
    { "undisplay", NULL, GROUP_LOOKING, "[N]...", "Cancel some displays, or all", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_undisplay, NULL },
    { "heat", NULL, GROUP_LOOKING, "WHAT", "Draw a heat map in the terminal", PICTURES, REPEAT_SAME, NEEDS_RUN,
        COMPLETE_HEAT, cmd_heat, NULL },
    { "list", "l", GROUP_LOOKING, "[TOKENS]", "Print the prompt's text with marks for what survived", TOKENS,
        REPEAT_BARE, NEEDS_PROMPT, COMPLETE_NONE, cmd_list, NULL },
    { "why", NULL, GROUP_LOOKING, "TOKENS [layer N]", "Say why tokens were kept or evicted, layer by layer", TOKENS,
        REPEAT_SAME, NEEDS_COMPRESSED, COMPLETE_NONE, cmd_why, NULL },
    { "diff", NULL, GROUP_LOOKING, "[steps N]", "Decode over the full cache beside this run, and compare",
        "Both are fed the leader's tokens (judge.leader); KL is in nats a reply token.  The values kl, full and "
        "other\n"
        "then hold the steps.",
        REPEAT_NEVER, NEEDS_COMPRESSED, COMPLETE_NONE, cmd_diff, NULL },
    { "export", NULL, GROUP_LOOKING, "png|npy|csv", "Write a picture, an array or a table", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_COMMAND, NULL, export_table },

    { "set", NULL, GROUP_CHANGING, "NAME VALUE [NAME VALUE]...", "Change settings, several at once or none of them",
        "set policy PRESET is short for set policy.preset PRESET; \"info settings\" lists all.", REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_SETTING, cmd_set, set_table },
    { "show", "sho", GROUP_CHANGING, "[NAME]", "Print settings", NULL, REPEAT_SAME, NEEDS_NOTHING, COMPLETE_SETTING,
        cmd_show, show_table },
    { "kv", NULL, GROUP_CHANGING, "[layer N] [head M] [token T]", "Move the focus, or print it", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_kv, NULL },
    { "prompt", NULL, GROUP_CHANGING, "FILE | -text TEXT", "Choose the prompt; a running request is dropped", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE, cmd_prompt, NULL },
    { "question", NULL, GROUP_CHANGING, "[TEXT | -none]", "Choose what is asked about the prompt", NULL,
        REPEAT_NEVER, NEEDS_PROMPT, COMPLETE_NONE, cmd_question, NULL },
    { "file", NULL, GROUP_CHANGING, "MODEL", "Open another model", NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE,
        cmd_file, NULL },

    { "help", "h", GROUP_SESSION, "[COMMAND | CLASS | all]", "Print list of commands", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_COMMAND, cmd_help, NULL },
    { "apropos", NULL, GROUP_SESSION, "WORD", "Search for commands about a word", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_apropos, NULL },
    { "complete", NULL, GROUP_SESSION, "LINE", "List the completions for a line", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_COMMAND, cmd_complete, NULL },
    { "echo", NULL, GROUP_SESSION, "TEXT", "Print text; \\n is a newline", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_echo, NULL },
    { "source", "so", GROUP_SESSION, "FILE", "Read commands from a file", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_FILE, cmd_source, NULL },
    { "assert", NULL, GROUP_SESSION, "EXPR [, \"MESSAGE\"]", "Fail with status 3 unless an expression holds",
        EXPRESSIONS, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_VALUE, cmd_assert, NULL },
    { "expect-stop", NULL, GROUP_SESSION, "REASON", "Fail with status 3 unless the last stop had this reason",
        "REASON is breakpoint [N], step, start, recompress, done, interrupt or error.", REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_expect_stop, NULL },
    { "quit", "q qu exit", GROUP_SESSION, "[N]", "Exit, with status N", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_quit, NULL },

    { "maintenance", "maint mt", GROUP_HIDDEN, "", "Pages made from the command table", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_COMMAND, NULL, maint_table },
    { "if", NULL, GROUP_HIDDEN, "", "Not there yet", NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_block,
        NULL },
    { "while", NULL, GROUP_HIDDEN, "", "Not there yet", NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_block,
        NULL },
    { "define", NULL, GROUP_HIDDEN, "", "Not there yet", NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE,
        cmd_block, NULL },
    { "document", NULL, GROUP_HIDDEN, "", "Not there yet", NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE,
        cmd_block, NULL },
    { "commands", NULL, GROUP_HIDDEN, "", "Not there yet", NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE,
        cmd_block, NULL },
    { 0 },
};

/* Measured with GDB 13: what its prefixes mean, where a unique prefix of ours would say something else. */
const struct command_pin command_pins[] = {
    { "e", NULL },
    { "re", NULL },
    { "co", NULL },
    { "con", NULL },
    { "com", NULL },
    { "se", NULL },
    { "o", NULL },
    { "a", NULL },
    { "he", "help" },
    { "hel", "help" },
    { "rec", "record" },
    { "k", "kill" },
    { "f", "frame" },
    { "u", "until" },
    { "t", "thread" },
    { "x", "x" },
    { "w", "with" },
    { "wh", "winheight" },
    { "j", "jump" },
    { "m", NULL },
    { "fi", NULL },
    { "ch", "checkpoint" },
    { "di", NULL },
    { "dif", "diff" },
    { "doc", "document" },
    { "wat", "watch" },
    { "lay", "layout" },
    { "pr", "print" },
    { "pro", "prompt" },
    { "un", NULL },
    { NULL, NULL },
};
