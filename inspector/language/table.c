/* All commands. The order within a group is the order in which help and README list them. */
#include "inspector/stop/break.h"
#include "inspector/language/command.h"
#include "inspector/core.h"
#include "inspector/context.h"
#include "inspector/stop/disassemble.h"
#include "inspector/expr/display.h"
#include "inspector/expr/examine.h"
#include "inspector/language/define.h"
#include "inspector/stop/events.h"
#include "inspector/policy/edits.h"
#include "inspector/picture/export.h"
#include "inspector/time/go.h"
#include "inspector/stop/frames.h"
#include "inspector/language/help.h"
#include "inspector/info.h"
#include "inspector/language/init.h"
#include "inspector/policy/judge.h"
#include "inspector/lab/evaluate.h"
#include "inspector/lab/perplexity.h"
#include "inspector/lab/sensitivity.h"
#include "inspector/lab/tune.h"
#include "inspector/lab/regret.h"
#include "inspector/lab/runs.h"
#include "inspector/lab/sweep.h"
#include "inspector/lab/whatif.h"
#include "inspector/expr/list.h"
#include "inspector/time/marks.h"
#include "inspector/picture/picture.h"
#include "inspector/policy/policy.h"
#include "inspector/expr/print.h"
#include "inspector/expr/printf.h"
#include "inspector/prompt.h"
#include "inspector/run.h"
#include "inspector/language/script.h"
#include "inspector/set.h"
#include "inspector/language/shell.h"
#include "inspector/stop/stop_commands.h"
#include "inspector/stop/stop_list.h"
#include "inspector/language/table_groups.h"
#include "inspector/tui/tui.h"
#include "inspector/stop/threads.h"
#include "inspector/expr/whatis.h"
#include "inspector/time/time.h"
#include "inspector/policy/why.h"

const char *const command_group_name[GROUP_COUNT] = { "running", "stops", "looking", "changing", "screen",
    "session", "user-defined", "aliases", "hidden" };
const char *const command_group_title[GROUP_COUNT] = { "Running the request",
    "Making the request stop at certain points", "Looking at what is there", "Changing policy, prompt and model",
    "The screen", "Session, scripts and help", "User-defined commands", "User-defined aliases of other commands",
    "Maintenance" };

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
    { "starti", NULL, GROUP_RUNNING, "", "Begin the request and stop at once, as start does", NULL, REPEAT_NEVER,
        NEEDS_PROMPT, COMPLETE_NONE, cmd_starti, NULL },
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
    { "nexti", "ni", GROUP_RUNNING, "[N]", "Run one stage; in compress, a layer",
        "Argument N means step N times (or until the request stops for another reason).", REPEAT_SAME, NEEDS_RUN,
        COMPLETE_NONE, cmd_nexti, NULL },
    { "until", "u", GROUP_RUNNING, "[LOCATION]", "Run to the next pass, or to a place in this phase",
        "It ends with the phase at the latest.\n" LOCATIONS, REPEAT_SAME, NEEDS_RUN, COMPLETE_LOCATION, cmd_until,
        NULL },
    { "advance", "adv", GROUP_RUNNING, "LOCATION", "Run to a place", LOCATIONS, REPEAT_SAME, NEEDS_RUN,
        COMPLETE_LOCATION, cmd_advance, NULL },
    { "jump", "j", GROUP_RUNNING, "LOCATION", "Go on from a place where this branch has been",
        "The last one behind, or else the first ahead on record.  Stages cannot be skipped: what follows reads "
        "what\n"
        "they write.  After a change of settings, what is run again begins a new branch.",
        REPEAT_NEVER, NEEDS_RUN, COMPLETE_LOCATION, cmd_jump, NULL },
    { "continue", "c fg", GROUP_RUNNING, "[N]", "Run to the next stop",
        "At a breakpoint, N means to pass it by N-1 times first.", REPEAT_SAME, NEEDS_RUN, COMPLETE_NONE,
        cmd_continue, NULL },
    { "finish", "fin", GROUP_RUNNING, "[stage|layer|pass|phase]",
        "Run until the layer ends, or the pass, or what is named",
        "With a frame selected by up or frame, until that one ends.  A layer of the prefill returns its entropy, "
        "one\n"
        "of compress how many tokens it keeps, a pass its token.",
        REPEAT_SAME, NEEDS_RUN, COMPLETE_NONE, cmd_finish, NULL },
    { "kill", "k", GROUP_RUNNING, "", "Drop the request; prompt and settings stay", NULL, REPEAT_NEVER, NEEDS_RUN,
        COMPLETE_NONE, cmd_kill, NULL },
    { "detach", NULL, GROUP_RUNNING, "", "Run the request to its end, past all stops", NULL, REPEAT_NEVER,
        NEEDS_RUN, COMPLETE_NONE, cmd_detach, NULL },
    { "recompress", NULL, GROUP_RUNNING, "", "Go back to the start of compress:0 with the policy as it is now",
        "The prefill is not repeated, and what was decoded is dropped: a new branch of history.", REPEAT_NEVER,
        NEEDS_PREFILL, COMPLETE_NONE, cmd_recompress, NULL },
    { "whatif", NULL, GROUP_RUNNING, "NAME=V... [-n TOKENS] [-keep] [-time] [-- COMMANDS]",
        "Try other settings on a fork of this run, from the same prefill",
        "The fork is compressed, then compared with the full cache and with this run over TOKENS steps "
        "(judge.tokens), "
        "and\nit says its own text; then it is forgotten and this run is as it was, or -keep keeps it as a run of "
        "its "
        "own.\n-time decodes it alone, too, as -keep does.  COMMANDS are kv pin, evict and unpin, set, policy and\n"
        "recompress, between semicolons.",
        REPEAT_NEVER, NEEDS_PREFILL, COMPLETE_SETTING, cmd_whatif, NULL },
    { "inferior", NULL, GROUP_RUNNING, "[N]", "Switch to another run of the same prefill, or print which it is",
        "Run 1 is the first one, 2 its twin on the full cache, which is compared with and not switched to; 3 and "
        "on are\n"
        "clones.  Settings, edits, history and reply are each run's own.",
        REPEAT_NEVER, NEEDS_RUN, COMPLETE_NONE, cmd_inferior, NULL },
    { "clone-inferior", NULL, GROUP_RUNNING, "", "Make a copy of this run where it stands, and switch to it",
        "The copy borrows the prefill's keys and values.", REPEAT_NEVER, NEEDS_PREFILL, COMPLETE_NONE,
        cmd_clone_inferior, NULL },
    { "remove-inferiors", NULL, GROUP_RUNNING, "N...", "Forget runs", NULL, REPEAT_NEVER, NEEDS_RUN, COMPLETE_NONE,
        cmd_remove_inferiors, NULL },
    { "reverse-step", "rs", GROUP_RUNNING, "[N]", "Go back to where this layer began, or the one before",
        "Argument N means step back N times (or until the request stops for another reason).", REPEAT_SAME,
        NEEDS_RUN, COMPLETE_NONE, cmd_reverse_step, NULL },
    { "reverse-next", "rn", GROUP_RUNNING, "[N]", "Go back to where this pass began, or the one before",
        "Argument N means step back N times (or until the request stops for another reason).", REPEAT_SAME,
        NEEDS_RUN, COMPLETE_NONE, cmd_reverse_next, NULL },
    { "reverse-stepi", "rsi", GROUP_RUNNING, "[N]", "Go back exactly one stage",
        "Argument N means step back N times (or until the request stops for another reason).", REPEAT_SAME,
        NEEDS_RUN, COMPLETE_NONE, cmd_reverse_stepi, NULL },
    { "reverse-nexti", "rni", GROUP_RUNNING, "[N]", "Go back exactly one stage, as reverse-stepi does",
        "Argument N means step back N times (or until the request stops for another reason).", REPEAT_SAME,
        NEEDS_RUN, COMPLETE_NONE, cmd_reverse_stepi, NULL },
    { "reverse-continue", "rc", GROUP_RUNNING, "[N]", "Go back to the last stop, or to the beginning",
        "At a breakpoint, N means to pass it by N-1 times first.", REPEAT_SAME, NEEDS_RUN, COMPLETE_NONE,
        cmd_reverse_continue, NULL },
    { "reverse-finish", NULL, GROUP_RUNNING, "[stage|layer|pass|phase]",
        "Go back to where the layer began, or the pass, or what is named", NULL, REPEAT_SAME, NEEDS_RUN,
        COMPLETE_NONE, cmd_reverse_finish, NULL },
    { "when", NULL, GROUP_RUNNING, "", "Print the tick, its place and the branch of history", NULL, REPEAT_SAME,
        NEEDS_RUN, COMPLETE_NONE, cmd_when, NULL },
    { "record", "rec", GROUP_RUNNING, "goto TICK|begin|end", "The record of the request, which is always kept",
        "Settings changed after going back start a new branch; without that, stepping repeats what was recorded.",
        REPEAT_NEVER, NEEDS_RUN, COMPLETE_COMMAND, cmd_record, record_table },
    { "checkpoint", "ch", GROUP_RUNNING, "[NAME]", "Remember this boundary, its branch, policy and settings",
        "It takes as many bytes as are said: tokens and settings, no keys or values.", REPEAT_NEVER, NEEDS_RUN,
        COMPLETE_NONE, cmd_checkpoint, NULL },
    { "restart", NULL, GROUP_RUNNING, "N|NAME", "Go to a checkpoint, from whatever branch", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_restart, NULL },
    { "back", NULL, GROUP_RUNNING, "[N]", "Go to the stop visited before this one, whatever its branch", NULL,
        REPEAT_SAME, NEEDS_RUN, COMPLETE_NONE, cmd_back, NULL },
    { "forward", NULL, GROUP_RUNNING, "[N]", "Undo back", NULL, REPEAT_SAME, NEEDS_RUN, COMPLETE_NONE, cmd_forward,
        NULL },

    { "break", "br b brea", GROUP_STOPS, "[LOCATION] [head N] [if EXPR]", "Stop at a place, or here",
        LOCATIONS "\nWith a head, the focus moves to it.  A condition on what is not there yet counts as false.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_LOCATION, cmd_break, NULL },
    { "tbreak", "tb", GROUP_STOPS, "[LOCATION] [head N] [if EXPR]", "Stop at a place once", LOCATIONS, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_LOCATION, cmd_tbreak, NULL },
    { "rbreak", "rb", GROUP_STOPS, "[REGEX]", "Set a breakpoint at every stage whose name matches", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_rbreak, NULL },
    { "watch", "wa", GROUP_STOPS, "[-l] EXPR [if EXPR]", "Stop when the value of an expression changes",
        "It is looked at where it can change: kept, score, rank, reason and budgets in compress, entropies behind\n"
        "observe, all others where a pass begins.  What is not there yet is void; its first appearance is a "
        "change.\n"
        "Arrays are compared element by element.  With -l, indices keep the values that they have "
        "now.\n" EXPRESSIONS,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_VALUE, cmd_watch, NULL },
    { "rwatch", "rw", GROUP_STOPS, "KEYS [> FLOOR] [if EXPR]",
        "Stop when a row gives keys more attention than a floor",
        "KEYS are \"TEXT\", @POS, A..B or attn[L][H][*][J].  It is looked at behind attend in the layers named, of "
        "every\n"
        "pass; FLOOR is kv read-floor unless given.  A token's look at itself is no read.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_VALUE, cmd_rwatch, NULL },
    { "awatch", "aw", GROUP_STOPS, "KEYS [> FLOOR] [if EXPR]",
        "Stop when keys are read, as rwatch does, or evicted", NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_VALUE,
        cmd_awatch, NULL },
    { "catch", "cat", GROUP_STOPS, "EVENT", "Stop when something happens", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_COMMAND, NULL, catch_table },
    { "tcatch", NULL, GROUP_STOPS, "EVENT [ARGUMENT]", "Stop when something happens, once", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_EVENT, cmd_tcatch, NULL },
    { "delete", "d del", GROUP_STOPS, "[N]...", "Delete breakpoints by number, or all", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_delete, delete_table },
    { "clear", "cl", GROUP_STOPS, "[LOCATION]", "Delete the breakpoints at a place, or here", LOCATIONS,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_LOCATION, cmd_clear, NULL },
    { "enable", "en", GROUP_STOPS, "[N]...", "Let breakpoints stop again", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_enable, enable_table },
    { "disable", "dis disa", GROUP_STOPS, "[N]...", "Keep breakpoints from stopping", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_disable, disable_table },
    { "condition", "cond", GROUP_STOPS, "N [EXPR]", "Stop at breakpoint N only if EXPR holds; without EXPR, always",
        EXPRESSIONS, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_VALUE, cmd_condition, NULL },
    { "commands", NULL, GROUP_STOPS, "[N]...", "Run the lines up to end whenever a stop has stopped the request",
        "Without a number, the stop set last.  silent as the first line keeps the stop from being shown; a line "
        "that\n"
        "moves the request on ends the list.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_commands, NULL },
    { "ignore", "ign", GROUP_STOPS, "N COUNT", "Pass breakpoint N by COUNT times", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_ignore, NULL },
    { "handle", NULL, GROUP_STOPS, "EVENT... [no]stop [no]print", "Say what an event of the engine does",
        "Events are listed by \"info signals\".  Stop means stop the request, and implies print.", REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_SIGNAL, cmd_handle, NULL },
    { "save", NULL, GROUP_STOPS, "breakpoints|policy", "Write breakpoints or the policy as a script", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_COMMAND, NULL, save_table },

    { "info", "i inf", GROUP_LOOKING, "SUBCOMMAND", "Tables about model, engine, cache and request", NULL,
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_COMMAND, NULL, info_table },
    { "print", "p inspect", GROUP_LOOKING,
        "[-array] [-array-indexes] [-elements N] [-repeats N] [--] [/FMT] [EXPR]",
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
    { "x", NULL, GROUP_LOOKING, "[/NFU] [EXPR]", "Examine the elements of an array from one on, or tokens",
        "N how many, F a format letter, s the text of tokens or i a line about each, U a size b h w g.  EXPR is "
        "an\n"
        "element (E[3], kept[0][137]), @POS or \"text\"; without it, what follows the last.\n" FORMATS,
        REPEAT_BARE, NEEDS_PROMPT, COMPLETE_VALUE, cmd_x, NULL },
    { "whatis", NULL, GROUP_LOOKING, "[EXPR]", "Print type, shape, unit and bytes of an expression", NULL,
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_VALUE, cmd_whatis, NULL },
    { "ptype", NULL, GROUP_LOOKING, "[EXPR]", "Print the type of an expression, and what its value means", NULL,
        REPEAT_SAME, NEEDS_NOTHING, COMPLETE_VALUE, cmd_ptype, NULL },
    { "thread", "t", GROUP_LOOKING, "[N]", "Switch the focus to a KV head of its layer, or print which it is", NULL,
        REPEAT_SAME, NEEDS_RUN, COMPLETE_COMMAND, cmd_thread, thread_table },
    { "backtrace", "bt where", GROUP_LOOKING, "[full] [N]", "Print the frames: stage, layer, pass, phase, request",
        "N innermost ones, or the outermost ones with a negative N; full: each with its values.", REPEAT_SAME,
        NEEDS_RUN, COMPLETE_NONE, cmd_backtrace, NULL },
    { "frame", "f", GROUP_LOOKING, "[N | stage|layer|pass|phase|request]", "Select and print a frame", NULL,
        REPEAT_SAME, NEEDS_RUN, COMPLETE_NONE, cmd_frame, NULL },
    { "up", NULL, GROUP_LOOKING, "[N]", "Select and print the frame around this one", NULL, REPEAT_SAME, NEEDS_RUN,
        COMPLETE_NONE, cmd_up, NULL },
    { "down", "do", GROUP_LOOKING, "[N]", "Select and print the frame within this one", NULL, REPEAT_SAME,
        NEEDS_RUN, COMPLETE_NONE, cmd_down, NULL },
    { "heat", NULL, GROUP_LOOKING, "WHAT", "Draw a heat map in the terminal", PICTURES, REPEAT_SAME, NEEDS_RUN,
        COMPLETE_HEAT, cmd_heat, NULL },
    { "list", "l", GROUP_LOOKING, "[TOKENS | A,B | -]", "Print the prompt's text with marks for what survived",
        TOKENS "\nA, prints ten lines from token A on, ,B those up to B, - those before the last ones.",
        REPEAT_BARE, NEEDS_PROMPT, COMPLETE_NONE, cmd_list, NULL },
    { "disassemble", "disas", GROUP_LOOKING, "[layer N]",
        "Print the stages of the pass: bytes, FLOPs and the time they took", NULL, REPEAT_SAME, NEEDS_RUN,
        COMPLETE_NONE, cmd_disassemble, NULL },
    { "context", NULL, GROUP_LOOKING, "[entropy] [budget] [tokens]", "Print the panes that a stop may show",
        "\"set kv context\" has them printed at every stop.", REPEAT_SAME, NEEDS_PROMPT, COMPLETE_NONE, cmd_context,
        NULL },
    { "why", "whynot", GROUP_LOOKING, "TOKENS [layer R] [head N] | budget [L]",
        "Say why tokens were kept or evicted, or how layers got their budgets",
        TOKENS "\nOne token in one layer is told in full.  The margin is (score - cut-off) / cut-off.", REPEAT_SAME,
        NEEDS_PREFILL, COMPLETE_TOKENS, cmd_why, NULL },
    { "diff", NULL, GROUP_LOOKING, "[run A|full] [run B] [steps N] [-layers] [-noise]",
        "Decode over the full cache beside this run, or over any two runs, and compare",
        "Both are fed the leader's tokens (judge.leader: full = the first of them); KL is in nats a reply token.  "
        "The "
        "values\nkl, full and other then hold the steps of the full cache against this run.  -layers adds the "
        "attention that\neach layer keeps, -noise what a second prefill in other segments would differ by.",
        REPEAT_NEVER, NEEDS_COMPRESSED, COMPLETE_NONE, cmd_diff, NULL },
    { "evaluate", NULL, GROUP_LOOKING, "FILE.jsonl... [OPTION]...",
        "Compare policies over rows of data: ROUGE, answers, KL, bytes, time",
        "Each row is read once, by a second engine with the present engine.* and decode.* settings; every policy\n"
        "compresses that same prefill, replies, and is judged.  A row is {\"document\", \"reference\"} (to be "
        "summarized)\n"
        "or {\"prompt\", \"answers\"}, with \"question\", \"id\" and \"kind\" if there are any.\n"
        "  -policy \"[LABEL:] PRESET [NAME=VALUE]...\"  one to compare; again for more (full, uniform, the present "
        "one)\n"
        "  -ratio LIST        kept shares, each with a table of its own (the present total)\n"
        "  -o RESULTS.jsonl   a line for each row and policy, added as it is measured; what is there is not "
        "measured again\n"
        "  -rows A:B          rows from A (0 is the first) up to B, which is left out\n"
        "  -shard I/N         one of N parts; the parts' results may be put into one file and shown together\n"
        "  -apart             compress before the question is read; a prompt's last paragraph is its question\n"
        "  -question TEXT     what documents without a question are asked\n"
        "  -n N, -judge N     longest reply (decode.tokens); tokens that KL is taken over (judge.tokens), 0 = "
        "none\n"
        "  -stem              ROUGE counts words by their stems",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE, cmd_evaluate, NULL },
    { "perplexity", NULL, GROUP_LOOKING, "FILE [WINDOW [COUNT]]", "Say how well the model predicts a text",
        "The text is cut into windows of 512 tokens, or WINDOW; of each the second half is scored, from at least "
        "half\n"
        "a window before it, over the whole cache.  So llama-perplexity does it, and so the figures compare.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE, cmd_perplexity, NULL },
    { "sensitivity", NULL, GROUP_LOOKING,
        "FILE... -o PROFILE [-shares LIST] [-selectors LIST] [-tokens N] [-rows A:B] [-question TEXT] [-apart]",
        "Measure what each layer's tokens are worth, into a profile",
        "FILE is rows of data (.jsonl) or one prompt.  Each layer alone keeps each share of its tokens, and the "
        "full\n"
        "cache's reply is read over it.  The same command goes on where it stopped, and adds prompts to a "
        "profile;\n"
        "\"set policy tuned PROFILE\" goes by it.  -apart compresses before the question is read.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE, cmd_sensitivity, NULL },
    { "tune", NULL, GROUP_LOOKING,
        "PROFILE [FILE...] [-ratio LIST | -kl X | -top1 X | -rouge X] [-with LIST | -selectors LIST] [-refine "
        "ROUNDS] "
        "[-f] [-o PROFILE] [-rows A:B] [-question TEXT] [-apart]",
        "Turn measured curves into budgets, and measure what they do",
        "For a total, or the smallest one at which every kind of prompts in FILE... has a mean KL of at most X "
        "nats a\n"
        "token, X of the tokens the same, or replies whose ROUGE-L to the full cache's is X.  -selectors "
        "sum,window,by-layer\n"
        "tries each, and writes the profile with the one that serves the worst kind best; \"set policy tuned "
        "PROFILE\" goes\n"
        "by it.  -refine moves tokens between layers as long as that helps, all layers compressed at once.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE, cmd_tune, NULL },
    { "profile", NULL, GROUP_LOOKING,
        "FILE [-f] [-png FILE] | diff A B [-ratio LIST] | average [-f] A B... -o FILE",
        "Print a profile's curves; compare profiles, or put them together", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_FILE, cmd_profile, profile_table },
    { "sweep", NULL, GROUP_LOOKING,
        "NAME=A,B,...|LOW:HIGH:STEP... [-metric M,...] [-n TOKENS] [-prompts FILE.jsonl]",
        "Measure all combinations of settings, from one prefill a prompt",
        "M is kl, top1, mass (attention to the prompt that is kept), rouge, kept, bytes, ms, or a column's name.  "
        "KL and top-1 are of "
        "the "
        "full\ncache's reply of TOKENS (judge.tokens); ROUGE-L is against a row's reference, or that reply.  -csv "
        "FILE, "
        "-jsonl FILE\nand -png FILE write rows and a picture of the first metric; rows of -prompts are those of "
        "evaluate.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_SETTING, cmd_sweep, NULL },
    { "regret", NULL, GROUP_LOOKING, "[steps N] [layer L] [head H] [-by token|head|cell] [-n ROWS] [-csv FILE]",
        "Say what attention the full cache gives tokens that this run has evicted",
        "Mean over the rows that read the full cache's reply; the largest first.  The values mass and regret then "
        "hold "
        "it\nby layer, head and position.",
        REPEAT_NEVER, NEEDS_COMPRESSED, COMPLETE_LAYER, cmd_regret, NULL },
    { "blame", NULL, GROUP_LOOKING, "[steps N] [-kl BOUND] [-max N]",
        "Find the fewest evictions whose return restores the full cache's output",
        "Restored: every step chooses the full cache's token, or with -kl, the mean KL is at most BOUND.  The "
        "search\n"
        "bisects layers, then tokens by regret, then drops one by one; it scores at most N kept sets (1000), each "
        "in "
        "one\npass from the same prefill, and Ctrl-C ends it with the best so far.",
        REPEAT_NEVER, NEEDS_COMPRESSED, COMPLETE_NONE, cmd_blame, NULL },
    { "export", NULL, GROUP_LOOKING, "png|npy|csv", "Write a picture, an array or a table", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_COMMAND, NULL, export_table },

    { "generate-core-file", "gcore gcor gco gc", GROUP_LOOKING, "[-f] [FILE] [+PART]...",
        "Write what the request knows to a core file, for a look without the model",
        "FILE is core.TICK unless named.  PART is scores, entropy_q, columns, kv, or attn LAYER.HEAD; without "
        "scores,\n"
        "why has nothing to say.  The file is .safetensors: numpy reads it, and \"kvdbg -c FILE\" opens it.",
        REPEAT_NEVER, NEEDS_RUN, COMPLETE_FILE, cmd_gcore, NULL },

    { "set", NULL, GROUP_CHANGING, "NAME VALUE [NAME VALUE]...", "Change settings, several at once or none of them",
        "set policy PRESET is short for set policy.preset PRESET; \"info settings\" lists all.", REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_SETTING, cmd_set, set_table },
    { "show", "sho", GROUP_CHANGING, "[NAME]", "Print settings", NULL, REPEAT_SAME, NEEDS_NOTHING, COMPLETE_SETTING,
        cmd_show, show_table },
    { "policy", NULL, GROUP_CHANGING, "[undo|redo]", "Print the policy, or undo and redo changes of it",
        "Undone and done again are settings of the policy, set budget, kv pin, evict and unpin: see info edits.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_policy, policy_table },
    { "kv", NULL, GROUP_CHANGING, "[layer N] [head M] [token T]",
        "Move the focus, or print it; pin or evict tokens", NULL, REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE, cmd_kv,
        kv_table },
    { "prompt", NULL, GROUP_CHANGING, "FILE | -text TEXT | -ids LIST | $NAME",
        "Choose the prompt; a running request is dropped", NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE,
        cmd_prompt, NULL },
    { "question", NULL, GROUP_CHANGING, "[TEXT | -none]", "Choose what is asked about the prompt", NULL,
        REPEAT_NEVER, NEEDS_PROMPT, COMPLETE_NONE, cmd_question, NULL },
    { "file", NULL, GROUP_CHANGING, "MODEL", "Open another model", NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE,
        cmd_file, NULL },
    { "core-file", NULL, GROUP_CHANGING, "[FILE]", "Look at a core file; without FILE, go back to the model",
        "It is looked at with the same commands as a request; what would run answers with one sentence.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE, cmd_core_file, NULL },

    { "help", "h", GROUP_SESSION, "[COMMAND | CLASS | all]", "Print list of commands", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_COMMAND, cmd_help, NULL },
    { "apropos", NULL, GROUP_SESSION, "WORD", "Search for commands about a word", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_apropos, NULL },
    { "complete", NULL, GROUP_SESSION, "LINE", "List the completions for a line", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_COMMAND, cmd_complete, NULL },
    { "echo", NULL, GROUP_SESSION, "TEXT", "Print text; \\n is a newline", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_echo, NULL },
    { "source", "so", GROUP_SESSION, "FILE | -png FILE [TO]",
        "Read commands from a file, or draw a picture again by its recipe",
        "-v shows each command before it runs.\n-png starts the request as the recipe in a PNG file says, goes to "
        "its "
        "tick, draws the picture again (to TO, or\nonly to compare) and says whether the bytes are the same.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE, cmd_source, NULL },
    { "if", NULL, GROUP_SESSION, "EXPR", "Run the lines up to else or end once if an expression holds",
        "The lines between else and end run if it does not.", REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_VALUE, cmd_if,
        NULL },
    { "while", NULL, GROUP_SESSION, "EXPR", "Run the lines up to end as long as an expression holds",
        "loop_break leaves the innermost loop, loop_continue begins its next turn.", REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_VALUE, cmd_while, NULL },
    { "define", NULL, GROUP_SESSION, "NAME", "Define a new command by the lines up to end",
        "$argc is the number of its arguments, $arg0, $arg1, ... are they.  hook-NAME runs before the command "
        "NAME,\n"
        "hookpost-NAME after it, hook-stop at every stop.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_COMMAND, cmd_define, NULL },
    { "define-prefix", NULL, GROUP_SESSION, "NAME", "Define a group, or let a command have subcommands", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_COMMAND, cmd_define_prefix, NULL },
    { "document", NULL, GROUP_SESSION, "NAME", "Give a user-defined command its help, by the lines up to end", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_COMMAND, cmd_document, NULL },
    { "alias", NULL, GROUP_SESSION, "[-a] [--] ALIAS = COMMAND [DEFAULT-ARGS...]",
        "Define a short name for a command", "-a keeps it out of help and completion.", REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_COMMAND, cmd_alias, NULL },
    { "dont-repeat", NULL, GROUP_SESSION, "", "In a user-defined command: an empty line does not repeat it", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_dont_repeat, NULL },
    { "eval", NULL, GROUP_SESSION, "\"FORMAT\", EXPR...", "Run the line that a printf makes", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_VALUE, cmd_eval, NULL },
    { "with", "w", GROUP_SESSION, "SETTING [VALUE] [-- COMMAND]", "Run a command with a setting changed meanwhile",
        "SETTING VALUE is what \"set\" takes; without COMMAND the last one is run again.", REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_SETTING, cmd_with, NULL },
    { "pipe", "|", GROUP_SESSION, "[-d DELIMITER] COMMAND | SHELL_COMMAND", "Send a command's output to a program",
        NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_COMMAND, cmd_pipe, NULL },
    { "shell", "!", GROUP_SESSION, "[COMMAND]", "Run a command of the shell, or a shell",
        "$_shell_exitcode is its exit status.", REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE, cmd_shell, NULL },
    { "pwd", NULL, GROUP_SESSION, "", "Print the working directory", NULL, REPEAT_SAME, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_pwd, NULL },
    { "cd", NULL, GROUP_SESSION, "[FOLDER]", "Change the working directory; without FOLDER, to the home folder",
        NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_FILE, cmd_cd, NULL },
    { "add-auto-load-safe-path", NULL, GROUP_SESSION, "FOLDER",
        "Let the .kvdbginit of a folder run when kvdbg starts there", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_FILE, cmd_add_safe_path, NULL },
    { "assert", NULL, GROUP_SESSION, "EXPR [, \"MESSAGE\"]", "Fail with status 3 unless an expression holds",
        EXPRESSIONS, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_VALUE, cmd_assert, NULL },
    { "expect-stop", NULL, GROUP_SESSION, "REASON", "Fail with status 3 unless the last stop had this reason",
        "REASON is breakpoint|watchpoint|catchpoint [N], signal [EVENT], step, until, advance, start, recompress, "
        "done, history, goto, restart, "
        "back, forward, "
        "interrupt\nor error.",
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE, cmd_expect_stop, NULL },
    { "quit", "q qu exit", GROUP_SESSION, "[N]", "Exit, with status N", NULL, REPEAT_NEVER, NEEDS_NOTHING,
        COMPLETE_NONE, cmd_quit, NULL },

    { "end", NULL, GROUP_HIDDEN, "", "Ends a block of lines", NULL, REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_NONE,
        cmd_end, NULL },
    { "layout", "lay", GROUP_SCREEN, "NAME|next|prev", "Choose which windows the screen shows", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_layout, NULL },
    { "focus", "fs", GROUP_SCREEN, "WINDOW|next|prev", "Choose the window that keys go to", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_focus, NULL },
    { "refresh", NULL, GROUP_SCREEN, "", "Draw the screen again", NULL, REPEAT_SAME, NEEDS_NOTHING, COMPLETE_NONE,
        cmd_refresh, NULL },
    { "winheight", "wh", GROUP_SCREEN, "WINDOW [+|-]ROWS", "Give a window another height", NULL, REPEAT_SAME,
        NEEDS_NOTHING, COMPLETE_NONE, cmd_winheight, NULL },
    { "tui", NULL, GROUP_SCREEN, "SUBCOMMAND", "The screen on and off, and layouts of one's own", NULL,
        REPEAT_NEVER, NEEDS_NOTHING, COMPLETE_COMMAND, NULL, tui_table },
    { "maintenance", "maint mt", GROUP_HIDDEN, "", "Pages made from the command table", NULL, REPEAT_NEVER,
        NEEDS_NOTHING, COMPLETE_COMMAND, NULL, maint_table },
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
    { "ad", NULL },
    { "sa", NULL },
    { "sav", NULL },
    { "he", "help" },
    { "hel", "help" },
    { "reco", "record" },
    { "res", NULL },
    { "rest", NULL },
    { "rev", "reverse-search" },
    { "ba", "backtrace" },
    { "bac", "backtrace" },
    { "fo", "forward-search" },
    { "for", "forward-search" },
    { "forw", "forward-search" },
    { "forwa", "forward-search" },
    { "forwar", "forward-search" },
    { "whe", "backtrace" },
    { "f", "frame" },
    { "t", "thread" },
    { "tu", "tui" },
    { "x", "x" },
    { "w", "with" },
    { "wh", "winheight" },
    { "m", NULL },
    { "fi", NULL },
    { "g", NULL },
    { "di", NULL },
    { "dif", "diff" },
    { "doc", "document" },
    { "po", "print-object" },
    { "lay", "layout" },
    { "pi", "python-interactive" },
    { "pr", "print" },
    { "pro", "prompt" },
    { "un", NULL },
    { NULL, NULL },
};
