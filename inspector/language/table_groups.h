/* The rows of groups (info, set, show, ...) and the pieces of help that several rows share. */
#ifndef KV_TABLE_GROUPS_H
#define KV_TABLE_GROUPS_H

#include "inspector/language/command.h"

extern const struct command info_table[], set_table[], show_table[], export_table[], profile_table[], maint_table[],
    tui_table[];
extern const struct command catch_table[], save_table[];
extern const struct command thread_table[];
extern const struct command policy_table[], kv_table[];
extern const struct command delete_table[], enable_table[], disable_table[], record_table[];

#define LOCATIONS                                                                                                  \
    "LOCATION is PHASE[:N], [PHASE[:N]:]L<n>[.STAGE], [PHASE[:N]].STAGE, *TICK, @POS or \"TEXT\": compress,\n"     \
    "decode:17, L12, decode:5:L12.attend, .select, *18342, @137.  Phases: prefill compress ask decode done.\n"     \
    "Stages: embed norm qkv rope append attend observe oproj ffn head sample; in compress: allocate select\n"      \
    "gather.  A token is reached before the pass that reads it, or when the reply has come to it."
#define PICTURES                                                                                                   \
    "WHAT is one of\n"                                                                                             \
    "  entropy, entropy_q [head H|mean]     of attention, by layer and head or by layer and query position\n"      \
    "  score, curve [layer L]               by layer and position, or one layer's in their order with the "        \
    "cut-off\n"                                                                                                    \
    "  kept [-vs PRESET], budget            what compress kept (beside another policy), and of which budgets\n"    \
    "  attn [layer L] [head H|mean] [rows A..B] [cols A..B] [-vs full]\n"                                          \
    "  attn layer L heads, attn head H layers\n"                                                                   \
    "  kl                                   of each step of the last diff\n"                                       \
    "  regret [head H|mean]                 attention of the full cache's reply to evicted tokens\n"               \
    "then any of -log, -rank, -clip PERCENTILE, pool mean|max, map magma|viridis|cividis|grey|diverging, side "    \
    "CELLS."
#define FORMATS                                                                                                    \
    "FMT is one of x hex, d decimal, u unsigned, o octal, t binary, z hex with leading zeros, a address, c\n"      \
    "character, f all digits, s text: an integer is an int or a long, a real shows its bits."
#define TOKENS "TOKENS is a position, A..B, @POS, or \"text\" that the prompt says."
#define EXPRESSIONS                                                                                                \
    "Values: entropy E entropy_q columns score rank margin cut reason kept weight tok question reply logit prob\n" \
    "attn k v pos hidden kl full other, budget.req app used floor cap rule and total, mem.* and time.*, "          \
    "settings\n"                                                                                                   \
    "by name, history ($1, $, $$) and\n"                                                                           \
    "convenience variables (show convenience); run(2).NAME is the twin's.  All of C's operators, also\n"           \
    "assignment to $NAME and to settings.  Functions: sum mean min max std norm argmax argmin count any all len\n" \
    "abs sqrt log log2 exp rank(X) topk(X, K) dot cos kl js overlap(X, Y) text(IDS) id(\"TEXT\") and\n"            \
    "kept(\"TEXT\" or positions), the fraction of the layers that keep all of it.\n"                               \
    "An index is a number (-1 and last count from the end), A..B, *, [] for the focus, or \"text\" for the\n"      \
    "positions where the prompt says it; E@N is N elements from E on."

#endif
