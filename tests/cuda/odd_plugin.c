/* Plugins that no program should take: of an older ABI, of another size of the table, without the symbol. */
#include "kernels/kernels.h"

#ifdef ODD_abi
static const struct kv_backend backend = { .abi = KV_BACKEND_ABI - 1, .size = sizeof backend, .name = "odd" };
#elif defined ODD_size
static const struct kv_backend backend = { .abi = KV_BACKEND_ABI, .size = sizeof backend - 8, .name = "odd" };
#else
static const struct kv_backend backend = { .abi = KV_BACKEND_ABI, .size = sizeof backend, .name = "odd" };
#endif

#ifdef ODD_name
#define kv_backend_plugin another_name
#endif
const struct kv_backend *kv_backend_plugin(void);
const struct kv_backend *kv_backend_plugin(void) { return &backend; }
