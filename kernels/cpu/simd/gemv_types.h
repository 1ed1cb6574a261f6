/* What every gemv ends in: all_rows() made for each type of weights and 1, 2 or 4 rows of x, and the choice among them.
 * Included by the file that has
 *     all_rows(type, elements, bytes a block, n, coarse, l, row, rows, q, first)
 * and names the type that q points to, GEMV_ACTIVATIONS. */
typedef void rows_fn(
    const struct kv_linear *l, int row, int rows, const GEMV_ACTIVATIONS *q, size_t first, int n, bool coarse);

#define X(name, number, elements, bytes, half, halves)                                                             \
    static void rows_##name(                                                                                       \
        const struct kv_linear *l, int row, int rows, const GEMV_ACTIVATIONS *q, size_t first, int n, bool coarse) \
    {                                                                                                              \
        switch (n) {                                                                                               \
        case 1: all_rows(number, elements, bytes, 1, coarse, l, row, rows, q, first); break;                       \
        case 2: all_rows(number, elements, bytes, 2, coarse, l, row, rows, q, first); break;                       \
        default: all_rows(number, elements, bytes, 4, coarse, l, row, rows, q, first); break;                      \
        }                                                                                                          \
    }
KV_QUANTIZED_LIST(X)
#undef X

static rows_fn *rows_of(int type)
{
    switch (type) {
#define X(name, number, elements, bytes, half, halves)                                                             \
    case number: return rows_##name;
        KV_QUANTIZED_LIST(X)
#undef X
    default: return NULL;
    }
}

bool KV_NAME(kv_has_gemv)(int type) { return rows_of(type) != NULL; }

void KV_NAME(kv_gemv)(const struct kv_linear *l, int row, int rows, const void *q, int n, bool coarse)
{
    rows_fn *fn = rows_of(l->w.type);
    for (int i = 0, at_once; i < n; i += at_once) {
        at_once = n - i >= 4 ? 4 : n - i >= 2 ? 2 : 1;
        fn(l, row, rows, q, (size_t)i, at_once, coarse);
    }
}
