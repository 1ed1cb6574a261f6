/* What the values mean, in one phrase each: ptype and info scope say it. */
#include <string.h>

#include "inspector/expr/names.h"

static const struct {
    const char *name, *meaning;
} meanings[] = {
    { "entropy", "Shannon entropy of a head's attention, mean over the rows in policy.rows" },
    { "E", "entropy of a layer, mean over its heads: what the entropy allocator shares the budget by" },
    { "entropy_q", "entropy of every row of a head's attention" },
    { "columns", "attention that a position got from all rows of the prefill" },
    { "attn", "attention probabilities of a row over the positions it sees" },
    { "score", "a token's score by policy.selector, pooled and reduced over heads" },
    { "rank", "place of a token among a layer's candidates, 0 the best" },
    { "margin", "how far a token's score is above or below the layer's cut-off" },
    { "cut", "score that the last chosen token of a layer has" },
    { "reason", "rule that kept a token, or evicted" },
    { "kept", "1 where a layer keeps a token" },
    { "sharing.overlap", "tokens both in a layer's shared set and in a KV head's own, of those in either" },
    { "sharing.mass", "share of a KV head's attention that a set shared by all heads holds" },
    { "sharing.own", "the same of the head's own best, as many tokens" },
    { "budget.head", "prompt tokens that each KV head of a layer keeps" },
    { "weight", "share of a layer by policy.allocator" },
    { "budget.req", "tokens of a layer by its weight alone" },
    { "budget.app", "tokens of a layer once bounds, pins and the total are met" },
    { "budget.used", "entries that a layer's cache holds, question and reply included" },
    { "budget.floor", "least that a layer may get" },
    { "budget.cap", "most that a layer may get" },
    { "budget.rule", "what decided over a layer's budget: its share by weight, a bound, or an edit" },
    { "budget.total", "tokens over all layers: asked for, shared out" },
    { "tok", "token ids of the prompt" },
    { "question", "token ids of the question" },
    { "reply", "token ids of the reply so far" },
    { "logit", "logits of the last row, over the vocabulary" },
    { "prob", "softmax of logit" },
    { "kl", "KL(full || other) of each step of diff" },
    { "full", "token that the full cache would take at each step of diff" },
    { "other", "token that this run would take at each step of diff" },
    { "mass", "attention that the full cache's reply gives a position, mean over its tokens" },
    { "regret", "the part of mass that goes to tokens which this run has evicted" },
    { "k",
        "keys as attention reads them, rotated at their positions; from the cache, evicted ones from the prefill" },
    { "v", "values as attention reads them; from the cache, evicted ones from the prefill" },
    { "pos", "position of each slot that a layer's attention reads, -1 beyond its last" },
    { "place", "the same slots' places, by which their keys are turned: policy.positions" },
    { "kept.later", "whether a compression in decode (policy.every) kept a token of question and reply" },
    { "hidden", "row that enters a layer, worked out again from the layers below" },
};

const char *names_meaning(const char *name)
{
    for (size_t i = 0; i < KV_COUNT(meanings); i++)
        if (!strcmp(meanings[i].name, name)) return meanings[i].meaning;
    return NULL;
}
