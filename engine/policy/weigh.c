/* Allocators: how the statistics of layers become their weights. */
#include "engine/policy/allocate.h"

#include <math.h>
#include <stdlib.h>

#define LEAST_ENTROPY 1e-6 /* nats: keeps 1/E finite where a layer's rows are one-hot or see one key */

static enum kv_status missing(const struct kv_stats *s, const char *what, struct kv_error *err)
{
    return kv_fail(err, KV_BAD_ARG, "Layer %d has no %s to weigh it by.", s->layer, what);
}

/* --- entropy ---------------------------------------------------------------------------------------------- */

double policy_layer_entropy(const struct kv_policy *policy, const struct kv_stats *stats, double *per_head)
{
    int n = kv_stats_rows(stats);
    int rows = policy->rows == POLICY_ROWS_ALL ? n : policy->rows == POLICY_ROWS_LAST ? 1 : policy->window;
    int first = n > rows ? n - rows : 0;
    double layer = 0;
    for (int h = 0; h < stats->n_head; h++) {
        const float *row = stats->entropy + (size_t)h * (size_t)n;
        double sum = 0;
        int counted = 0;
        for (int i = first; i < n; i++) {
            int seen = stats->sliding_window > 0 && i >= stats->sliding_window ? stats->sliding_window : i + 1;
            if (stats->seen) seen = stats->seen[i];
            if (policy->entropy == POLICY_ENTROPY_RAW)
                sum += row[i];
            else if (seen > 1)
                sum += row[i] / log(seen);
            else
                continue;
            counted++;
        }
        double mean = counted ? sum / counted : 0;
        if (mean < 0) mean = 0;
        if (per_head) per_head[h] = mean;
        layer += mean;
    }
    return layer / stats->n_head;
}

static enum kv_status measure_entropy(
    const struct kv_policy *policy, const struct kv_stats *stats, double *out, struct kv_error *err)
{
    if (!stats->entropy) return missing(stats, "entropies", err);
    *out = policy_layer_entropy(policy, stats, NULL);
    return KV_OK;
}

static void to_power(const double *measure, int n_layer, double power, double *weight)
{
    for (int l = 0; l < n_layer; l++)
        weight[l] = pow(power < 0 && measure[l] < LEAST_ENTROPY ? LEAST_ENTROPY : measure[l], power);
}

static enum kv_status weigh_entropy(const struct kv_policy *policy, const double *measure, int n_layer,
    const double *given, double *weight, struct kv_error *err)
{
    (void)given, (void)err;
    to_power(measure, n_layer, policy->power, weight);
    return KV_OK;
}

static enum kv_status weigh_inverse(const struct kv_policy *policy, const double *measure, int n_layer,
    const double *given, double *weight, struct kv_error *err)
{
    (void)given, (void)err;
    to_power(measure, n_layer, -policy->power, weight);
    return KV_OK;
}

/* Weights e^measure, the largest made 1; none is larger than e^-inf: all 0. NaN stays. */
static enum kv_status weigh_exp(const struct kv_policy *policy, const double *measure, int n_layer,
    const double *given, double *weight, struct kv_error *err)
{
    (void)policy, (void)given, (void)err;
    double most = -INFINITY;
    for (int l = 0; l < n_layer; l++)
        if (measure[l] > most) most = measure[l];
    for (int l = 0; l < n_layer; l++) weight[l] = measure[l] == most ? most > -INFINITY : exp(measure[l] - most);
    return KV_OK;
}

static enum kv_status measure_meda(
    const struct kv_policy *policy, const struct kv_stats *stats, double *out, struct kv_error *err)
{
    enum kv_status status = measure_entropy(policy, stats, out, err);
    *out /= policy->temperature;
    return status;
}

/* --- no statistics ---------------------------------------------------------------------------------------- */

static enum kv_status weigh_uniform(const struct kv_policy *policy, const double *measure, int n_layer,
    const double *given, double *weight, struct kv_error *err)
{
    (void)policy, (void)measure, (void)given, (void)err;
    for (int l = 0; l < n_layer; l++) weight[l] = 1;
    return KV_OK;
}

static enum kv_status weigh_given(const struct kv_policy *policy, const double *measure, int n_layer,
    const double *given, double *weight, struct kv_error *err)
{
    (void)policy, (void)measure, (void)err;
    for (int l = 0; l < n_layer; l++) weight[l] = given ? given[l] : 1;
    return KV_OK;
}

static enum kv_status weigh_pyramid(const struct kv_policy *policy, const double *measure, int n_layer,
    const double *given, double *weight, struct kv_error *err)
{
    (void)measure, (void)given, (void)err;
    double least = 1 / policy->beta, most = 2 - least;
    for (int l = 0; l < n_layer; l++) weight[l] = n_layer > 1 ? most + (least - most) * l / (n_layer - 1) : 1;
    return KV_OK;
}

/* --- attention of the window --------------------------------------------------------------------------------- */

static int descending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* How many of the n largest values hold this share of their sum. */
static int tokens_for(const float *value, int n, double mass, float *sorted)
{
    double total = 0, held = 0;
    for (int j = 0; j < n; j++) total += sorted[j] = value[j];
    qsort(sorted, (size_t)n, sizeof *sorted, descending);
    int count = 0;
    while (count < n && held < mass * total) held += sorted[count++];
    return count;
}

static enum kv_status measure_zigzag(
    const struct kv_policy *policy, const struct kv_stats *stats, double *out, struct kv_error *err)
{
    if (!stats->window) return missing(stats, "window of attention", err);
    float *sorted = kv_alloc((size_t)stats->n, sizeof *sorted);
    if (!sorted) return kv_fail(err, KV_NO_MEMORY, "Out of memory to sort %d tokens.", stats->n);
    *out = 0;
    for (int h = 0; h < stats->n_head && !isnan(*out); h++) {
        const float *row = stats->window + (size_t)h * (size_t)stats->n;
        double sum = 0;
        for (int j = 0; j < stats->n; j++) sum += row[j];
        *out += isfinite(sum) ? tokens_for(row, stats->n, policy->mass, sorted) : NAN;
    }
    *out /= stats->n_head;
    free(sorted);
    return KV_OK;
}

static enum kv_status weigh_zigzag(const struct kv_policy *policy, const double *measure, int n_layer,
    const double *given, double *weight, struct kv_error *err)
{
    (void)given, (void)err;
    double sum = 0;
    for (int l = 0; l < n_layer; l++) sum += measure[l];
    for (int l = 0; l < n_layer; l++)
        weight[l] =
            policy->boundary / n_layer + (1 - policy->boundary) * (sum == 0 ? 1.0 / n_layer : measure[l] / sum);
    return KV_OK;
}

static enum kv_status measure_cake(
    const struct kv_policy *policy, const struct kv_stats *stats, double *out, struct kv_error *err)
{
    if (!stats->spread) return missing(stats, "spread of attention", err);
    if (stats->n > 1 && policy->window < 2)
        return kv_fail(err, KV_BAD_ARG, "The allocator cake compares rows: set policy.window to at least 2.");
    double entropy = stats->spread[0] < 0 ? 0 : stats->spread[0]; /* of one-hot rows, by the 1e-10 */
    *out = log(entropy) / policy->tau1 + log(stats->spread[1]) / policy->tau2;
    return KV_OK;
}

/* Adds up -p ln p of what a KV head's tokens before the window scored; *total is the sum of all scores. */
static void scores_of_head(
    const struct kv_policy *policy, const struct kv_stats *stats, int g, double *score, double *total)
{
    int all = kv_stats_rows(stats), rows = all < policy->window ? all : policy->window;
    int before = stats->n > rows ? stats->n - rows : 0;
    int group = stats->n_head / stats->n_kv_head, reach = policy->kernel / 2;
    const float *norm = stats->value_norms + (size_t)(stats->n_kv_head + g) * (size_t)stats->n;
    double largest = 0;
    for (int j = 0; j < stats->n; j++)
        if (!(norm[j] <= largest)) largest = norm[j];
    for (int j = 0; j < before; j++) {
        int from = j > reach ? j - reach : 0, to = before - 1 - j > reach ? j + reach : before - 1;
        double best = 0;
        for (int h = g * group; h < (g + 1) * group; h++) {
            const float *sum = stats->window + (size_t)h * (size_t)stats->n;
            for (int k = from; k <= to; k++)
                if (!(sum[k] <= best)) best = sum[k];
        }
        score[j] = best / rows * largest;
        *total += score[j];
    }
}

static enum kv_status measure_lava(
    const struct kv_policy *policy, const struct kv_stats *stats, double *out, struct kv_error *err)
{
    if (!stats->window || !stats->value_norms) return missing(stats, "window of attention or value norms", err);
    int before = stats->n > policy->window ? stats->n - policy->window : 0;
    size_t count = (size_t)stats->n_kv_head * (size_t)before;
    double total = 0, entropy = 0, *score = kv_alloc(count, sizeof *score);
    if (!score && count) return kv_fail(err, KV_NO_MEMORY, "Out of memory for the scores of %zu tokens.", count);
    for (int g = 0; g < stats->n_kv_head; g++)
        scores_of_head(policy, stats, g, score + (size_t)g * (size_t)before, &total);
    for (size_t k = 0; k < count; k++)
        if (score[k] != 0) entropy -= score[k] / total * log(score[k] / total);
    *out = count > 1 ? entropy / log((double)count) : 0;
    if (*out < 0) *out = 0;
    free(score);
    return KV_OK;
}

static enum kv_status weigh_measure(const struct kv_policy *policy, const double *measure, int n_layer,
    const double *given, double *weight, struct kv_error *err)
{
    (void)policy, (void)given, (void)err;
    for (int l = 0; l < n_layer; l++) weight[l] = measure[l];
    return KV_OK;
}

/* --- groups of layers ------------------------------------------------------------------------------------------ */

static enum kv_status measure_squeeze(
    const struct kv_policy *policy, const struct kv_stats *stats, double *out, struct kv_error *err)
{
    (void)policy;
    if (!stats->cosine) return missing(stats, "cosines", err);
    int rows = kv_stats_rows(stats);
    *out = 0;
    for (int i = 0; i < rows; i++) *out += (double)stats->cosine[i] / rows;
    return KV_OK;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorted values, and running sums of them and of their squares, so that a cut costs the same wherever it lies. */
struct sorted {
    double *value, *sum, *square;
    int n;
};

/* Sum of squared distances of values from..to-1 to their mean. */
static double scatter(const struct sorted *s, int from, int to)
{
    double sum = s->sum[to] - s->sum[from];
    return to > from ? s->square[to] - s->square[from] - sum * sum / (to - from) : 0;
}

/* The least value of the uppermost of three groups, or of as many as there are different values: the cuts with the least
 * scatter, the lowest of equal ones. NaN: there is one group. */
static double upper_group(const struct sorted *s)
{
    const double *value = s->value;
    int different = 1, best = s->n - 1;
    double least = INFINITY;
    for (int i = 1; i < s->n; i++) different += value[i] != value[i - 1];
    if (different == 1) return NAN;
    for (int i = 0; i < s->n; i++) { /* from their middle, so that squares do not swamp what they differ by */
        double x = value[i] - value[s->n / 2];
        s->sum[i + 1] = s->sum[i] + x;
        s->square[i + 1] = s->square[i] + x * x;
    }
    for (int b = 1; b < s->n; b++) {
        if (value[b] == value[b - 1]) continue;
        for (int a = different > 2; a < b; a++) {
            if (different > 2 ? value[a] == value[a - 1] : a > 0) continue;
            double sum = scatter(s, 0, a) + scatter(s, a, b) + scatter(s, b, s->n);
            if (sum < least) least = sum, best = b;
        }
    }
    return value[best];
}

static enum kv_status weigh_squeeze(const struct kv_policy *policy, const double *measure, int n_layer,
    const double *given, double *weight, struct kv_error *err)
{
    (void)given;
    size_t n = (size_t)n_layer;
    double *room = kv_alloc(3 * n + 2, sizeof *room); /* zeroed: the sums begin with 0 */
    if (!room) return kv_fail(err, KV_NO_MEMORY, "Out of memory to group %d layers.", n_layer);
    bool known = true;
    for (size_t l = 0; l < n; l++) known = known && !isnan(room[l] = measure[l]);
    qsort(room, n, sizeof *room, ascending);
    const struct sorted sorted = { room, room + n, room + 2 * n + 1, n_layer };
    double from = known ? upper_group(&sorted) : NAN;
    int upper = 0;
    for (size_t l = 0; l < n; l++) upper += measure[l] >= from;
    for (size_t l = 0; l < n; l++)
        weight[l] = !known               ? measure[l]
                    : isnan(from)        ? 1
                    : measure[l] >= from ? policy->share
                                         : (n_layer - upper * policy->share) / (n_layer - upper);
    free(room);
    return KV_OK;
}

/* --- entry --------------------------------------------------------------------------------------------------------- */

static enum kv_status allocator_of(
    const struct kv_policy *policy, const struct policy_allocator **out, struct kv_error *err)
{
    *out = policy_allocator_at(policy->allocator);
    return *out ? KV_OK : kv_fail(err, KV_BAD_ARG, "There is no allocator number %d.", policy->allocator);
}

enum kv_status policy_measure(
    const struct kv_policy *policy, const struct kv_stats *stats, double *out, struct kv_error *err)
{
    const struct policy_allocator *allocator;
    enum kv_status status = allocator_of(policy, &allocator, err);
    *out = 0;
    return status || !allocator->measure ? status : allocator->measure(policy, stats, out, err);
}

enum kv_status policy_weigh(const struct kv_policy *policy, const double *measure, int n_layer, const double *given,
    double *weight, struct kv_error *err)
{
    const struct policy_allocator *allocator;
    enum kv_status status = allocator_of(policy, &allocator, err);
    return status ? status : allocator->weigh(policy, measure, n_layer, given, weight, err);
}

enum kv_status policy_weights(const struct kv_policy *policy, const struct kv_stats *stats, int n_layer,
    const double *given, double *weight, struct kv_error *err)
{
    double *measure = kv_alloc((size_t)n_layer, sizeof *measure);
    enum kv_status status =
        measure ? KV_OK : kv_fail(err, KV_NO_MEMORY, "Out of memory for the weights of %d layers.", n_layer);
    for (int l = 0; l < n_layer && !status; l++) status = policy_measure(policy, &stats[l], &measure[l], err);
    if (!status) status = policy_weigh(policy, measure, n_layer, given, weight, err);
    free(measure);
    return status;
}

/* --- table --------------------------------------------------------------------------------------------------------- */

static const struct policy_allocator allocators[] = {
    { "entropy", KV_NEED_ENTROPY, measure_entropy, weigh_entropy,
        "Mean attention entropy of the layer, to policy.power." },
    { "uniform", 0, NULL, weigh_uniform, "The same for every layer." },
    { "inverse", KV_NEED_ENTROPY, measure_entropy, weigh_inverse, "1 / mean attention entropy, to policy.power." },
    { "pyramid", 0, NULL, weigh_pyramid, "A straight line from the first layer down to the last (PyramidKV)." },
    { "cake", KV_NEED_SPREAD, measure_cake, weigh_exp,
        "Entropy and variance of the window's attention, to policy.tau1 and policy.tau2 (CAKE)." },
    { "zigzag", KV_NEED_WINDOW, measure_zigzag, weigh_zigzag,
        "How many tokens hold policy.mass of the window's attention (ZigZagKV)." },
    { "squeeze", KV_NEED_COSINE, measure_squeeze, weigh_squeeze,
        "Less for the group of layers that attention changes least (SqueezeAttention)." },
    { "meda", KV_NEED_ENTROPY, measure_meda, weigh_exp,
        "Softmax of mean attention entropy over policy.temperature (MEDA)." },
    { "lava", KV_NEED_WINDOW | KV_NEED_VALUE_NORMS, measure_lava, weigh_measure,
        "Entropy of the layer's token scores (LAVa)." },
    { POLICY_TUNED, 0, NULL, weigh_given, "Shares that the profile's measured curves give for this total." },
    { "manual", 0, NULL, weigh_given, "Weights that the user gave; equal without any." },
};

const struct policy_allocator *policy_allocator_at(int row)
{
    return row >= 0 && row < (int)KV_COUNT(allocators) ? &allocators[row] : NULL;
}

const char *policy_allocator_name(int row)
{
    const struct policy_allocator *allocator = policy_allocator_at(row);
    return allocator ? allocator->name : NULL;
}
