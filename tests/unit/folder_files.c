/* Weights of a folder, one file or several, that are damaged, hostile or of another kind: each is refused in one sentence,
 * and what may vary opens. */
#include "tests/unit/folder.h"

/* --- weights -------------------------------------------------------------------------------------------------- */

#define HEAD(name, find, put, says)                                                                                \
    {                                                                                                              \
        name, LLAMA, ONE, EDIT, find, put, 0, says                                                                 \
    }
#define NORM "\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[32],\"data_offsets\":[98816,98944]}"
#define EMBD "\"model.embed_tokens.weight\":{\"dtype\":\"F32\",\"shape\":[96,32],\"data_offsets\":[12288,24576]}"
static const struct change weights[] = {
    { "no weights", LLAMA, ONE, TEXT, NULL, NULL, 0, "neither model.safetensors nor model.safetensors.index.json" },
    { "weights empty", LLAMA, ONE, TEXT, NULL, "", 0, "0 bytes are too few" },
    { "weights a text", LLAMA, ONE, TEXT, NULL, "Once upon a time there was a model.", 0,
        "something else, or cut off" },
    { "weights a pointer of git-lfs", LLAMA, ONE, TEXT, NULL, "version https://git-lfs.github.com/spec/v1\n", 0,
        "git lfs pull" },
    { "weights a folder", LLAMA, ONE, KIND, NULL, "folder", 0, "Is a directory" },
    { "weights a FIFO", LLAMA, ONE, KIND, NULL, "fifo", 0, "not a regular file" },
    { "weights a device", LLAMA, ONE, LINK, NULL, "/dev/zero", 0, "not a regular file" },
    { "weights a link to itself", LLAMA, ONE, LINK, NULL, ONE, 0, "Too many levels" },
    { "weights a link to nothing", LLAMA, ONE, LINK, NULL, "blobs/0123", 0, "No such file" },
    { "weights are the config", LLAMA, ONE, LINK, NULL, CONFIG, 0, "something else, or cut off" },
    { "a byte more", LLAMA, ONE, MORE, NULL, "x", 0, "1 bytes at its end belong to no tensor" },
    { "header of no bytes", LLAMA, ONE, WORD, NULL, NULL, 0, "no JSON" },
    { "header of 1 byte", LLAMA, ONE, WORD, NULL, NULL, 1, "no JSON" },
    { "header a byte short", LLAMA, ONE, WORD, NULL, NULL, 2103, "header is no" },
    { "header as long as the file", LLAMA, ONE, WORD, NULL, NULL, 101048, "something else, or cut off" },
    { "header of 2^31 bytes", LLAMA, ONE, WORD, NULL, NULL, 1ULL << 31, "something else, or cut off" },
    { "header of 2^63 bytes", LLAMA, ONE, WORD, NULL, NULL, 1ULL << 63, "something else, or cut off" },
    { "header of 2^64 - 1 bytes", LLAMA, ONE, WORD, NULL, NULL, ~0ULL, "something else, or cut off" },
    { "header of 2^64 - 8 bytes", LLAMA, ONE, WORD, NULL, NULL, ~7ULL, "something else, or cut off" },
    HEAD("a tensor missing", NORM,
        "\"model.extra\":{\"dtype\":\"F32\",\"shape\":[32],\"data_offsets\":[98816,98944]}",
        "'model.norm.weight' is missing"),
    HEAD("a tensor too many", NORM,
        NORM ",\"model.layers.0.self_attn.sinks\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[98944,98944]}",
        "sinks' is not a part of the llama model"),
    HEAD("a tensor twice", NORM,
        NORM ",\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[98944,98944]}",
        "is there twice"),
    HEAD("a layer too many", NORM,
        NORM ",\"model.layers.2.input_layernorm.weight\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[98944,"
             "98944]}",
        "model.layers.2.input_layernorm.weight' is not a part"),
    HEAD("a type that is not read", "\"F32\",\"shape\":[96,32]", "\"I32\",\"shape\":[96,32]",
        "is I32; kvdbg reads F32, F16 and BF16"),
    HEAD("fp8", "\"F32\",\"shape\":[96,32]", "\"F8_E4M3\",\"shape\":[384,32]", "F8_E4M3"),
    HEAD("F64", "\"F32\",\"shape\":[96,32]", "\"F64\",\"shape\":[48,32]", "is F64"),
    HEAD("a type that there is not", "\"F32\"", "\"F33\"", "unknown dtype \"F33\""),
    HEAD("a type that is a number", "\"dtype\":\"F32\"", "\"dtype\":32", "has no dtype"),
    HEAD("no type", "\"dtype\":\"F32\",", "", "has no dtype"),
    HEAD("F16 of F32's bytes", "\"F32\",\"shape\":[96,32]", "\"F16\",\"shape\":[96,32]",
        "of its shape take 6144 bytes"),
    HEAD("F16 twice as wide", "\"F32\",\"shape\":[96,32]", "\"F16\",\"shape\":[96,64]",
        "[96 x 64]; config.json asks for [96 x 32]"),
    HEAD("a norm of two dimensions", NORM,
        "\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[1,32],\"data_offsets\":[98816,98944]}",
        "has the shape [1 x 32]; config.json asks for [32]"),
    HEAD("a matrix of one dimension", "[96,32]", "[3072]", "has the shape [3072]"),
    HEAD("a matrix of three dimensions", "[96,32]", "[96,32,1]", "has the shape [96 x 32 x 1]"),
    HEAD("a matrix turned", "[96,32]", "[32,96]", "has the shape [32 x 96]"),
    HEAD("nine dimensions", "[96,32]", "[96,32,1,1,1,1,1,1,1]", "more than 8 dimensions"),
    HEAD("no shape", "\"shape\":[96,32],", "", "has no shape"),
    HEAD("a shape that is a number", "[96,32]", "3072", "has no shape"),
    HEAD("a negative dimension", "[96,32]", "[-96,32]", "dimension 0 of tensor"),
    HEAD("a dimension that is a fraction", "[96,32]", "[96,31.5]", "dimension 1 of tensor"),
    HEAD("a dimension of 2^53 + 2", "[96,32]", "[9007199254740994,32]", "no whole number"),
    HEAD("a dimension of 2^64", "[96,32]", "[18446744073709551616,32]", "no whole number"),
    HEAD("a shape of 2^64 elements", "[96,32]", "[4294967296,4294967296]", "too large to count"),
    HEAD("a shape of 2^62 elements", "[96,32]", "[2147483648,2147483648]", "too large to count"),
    HEAD("a shape of 2^61 elements", "[96,32]", "[1073741824,2147483648]", "of its shape take"),
    HEAD("a dimension of 0", "[96,32]", "[0,32]", "of its shape take 0 bytes"),
    HEAD("no offsets", ",\"data_offsets\":[98816,98944]", "", "no pair of data offsets"),
    HEAD("one offset", "[98816,98944]", "[98816]", "no pair of data offsets"),
    HEAD("three offsets", "[98816,98944]", "[98816,98944,98944]", "no pair of data offsets"),
    HEAD("offsets that are texts", "[98816,98944]", "[\"98816\",\"98944\"]", "no pair of data offsets"),
    HEAD("offsets backwards", "[98816,98944]", "[98944,98816]", "has offsets 98944 to 98816"),
    HEAD("a negative offset", "[98816,98944]", "[-128,0]", "no pair of data offsets"),
    HEAD("offsets at 2^53", "[98816,98944]", "[9007199254740864,9007199254740992]", "a gap before tensor"),
    HEAD(
        "offsets at 2^63", "[98816,98944]", "[9223372036854775680,9223372036854775808]", "no pair of data offsets"),
    HEAD("offsets at 2^64", "[98816,98944]", "[18446744073709551488,18446744073709551616]",
        "no pair of data offsets"),
    HEAD("an offset too short", "[98816,98944]", "[98816,98943]", "of its shape take 128 bytes"),
    HEAD("two tensors on one place", EMBD,
        "\"model.embed_tokens.weight\":{\"dtype\":\"F32\",\"shape\":[96,32],\"data_offsets\":[0,12288]}",
        "overlaps the one before it"),
    HEAD("tensors that overlap by a byte", EMBD,
        "\"model.embed_tokens.weight\":{\"dtype\":\"F32\",\"shape\":[96,32],\"data_offsets\":[12287,24575]}",
        "overlaps the one before it"),
    HEAD("a tensor behind the end", "[98816,98944]", "[98944,99072]", "a gap before tensor"),
    HEAD("the header a list", "{\"__metadata__\"", "[{\"__metadata__\"", "no JSON"),
    HEAD("a tensor that is a number", NORM, "\"model.norm.weight\":5", "has no dtype"),
    HEAD("metadata that is no text", "\"pt\"", "5", "something else than texts"),
    HEAD("metadata that is a list", "{\"format\":\"pt\"}", "[5]", "something else than texts"),
    HEAD("a name with control bytes", "\"model.norm.weight\"", "\"model.\\u0007norm\\n.weight\"", "is missing"),
};

static const struct change good[] = {
    HEAD("blanks behind the header", "{\"format\":\"pt\"},", "{\"format\":\"pt\"},   ", NULL),
    HEAD("no metadata", "\"__metadata__\":{\"format\":\"pt\"},", "", NULL),
    HEAD("a table that follows from the config", NORM,
        NORM ",\"model.layers.0.self_attn.rotary_emb.inv_freq\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":["
             "98944,98944]}",
        NULL),
};

static void good_weights(void) { run(good, KV_COUNT(good)); }
static void bad_weights(void) { run(weights, KV_COUNT(weights)); }

/* --- several files -------------------------------------------------------------------------------------------- */

#define MAP(name, find, put, says)                                                                                 \
    {                                                                                                              \
        name, MISTRAL, INDEX, EDIT, find, put, 0, says                                                             \
    }
static const struct change indices[] = {
    { "no index", MISTRAL, INDEX, TEXT, NULL, NULL, 0, "neither model.safetensors nor" },
    { "index empty", MISTRAL, INDEX, TEXT, NULL, "", 0, "is no JSON" },
    { "index of nothing", MISTRAL, INDEX, TEXT, NULL, "{\"weight_map\": {}}", 0, "lists no tensors" },
    { "index a list", MISTRAL, INDEX, TEXT, NULL, "[]", 0, "no JSON object" },
    { "index deep", MISTRAL, INDEX, FILL, "", "[", 1000000, "nested too deeply" },
    { "index too large", MISTRAL, INDEX, FILL, "{", "                ", 1100000, "expected at most 16777216" },
    { "index a FIFO", MISTRAL, INDEX, KIND, NULL, "fifo", 0, "no regular file" },
    { "index a link to itself", MISTRAL, INDEX, LINK, NULL, INDEX, 0, "Too many levels" },
    { "index a link to nothing", MISTRAL, INDEX, LINK, NULL, "nothing", 0, "a link to nothing" },
    MAP("no map", "weight_map", "weight_mop", "no key 'weight_map'"),
    MAP("the map a list", "\"weight_map\": {", "\"weight_map\": [], \"x\": {", "expected an object"),
    MAP("a tensor twice", MAPPED("model.norm.weight", "2"),
        MAPPED("model.norm.weight", "2") "," MAPPED("model.norm.weight", "1"), "twice"),
    MAP("a file that is not there", MAPPED("model.norm.weight", "2"),
        "\"model.norm.weight\": \"model-3.safetensors\"", "No such file"),
    MAP("a file that is a number", MAPPED("model.norm.weight", "2"), "\"model.norm.weight\": 2",
        "names the file '(no text)'"),
    MAP("a file above the folder", MAPPED("model.norm.weight", "2"),
        "\"model.norm.weight\": \"../model.safetensors\"", "'../model.safetensors'"),
    MAP("a file far away", MAPPED("model.norm.weight", "2"), "\"model.norm.weight\": \"/etc/model.safetensors\"",
        "in the folder itself"),
    MAP("a file in a folder", MAPPED("model.norm.weight", "2"), "\"model.norm.weight\": \"sub/model.safetensors\"",
        "in the folder itself"),
    MAP("a file of another kind", MAPPED("model.norm.weight", "2"), "\"model.norm.weight\": \"config.json\"",
        "expected NAME.safetensors"),
    MAP("a file without name", MAPPED("model.norm.weight", "2"), "\"model.norm.weight\": \"\"",
        "expected NAME.safetensors"),
    MAP("a hidden file", MAPPED("model.norm.weight", "2"), "\"model.norm.weight\": \".safetensors\"",
        "expected NAME.safetensors"),
    MAP("a name with a line feed", MAPPED("model.norm.weight", "2"), "\"model.norm.weight\": \"a\\nb.safetensors\"",
        "'a?b.safetensors'"),
    MAP("a tensor in the other file", MAPPED("model.norm.weight", "2"), MAPPED("model.norm.weight", "1"),
        "says that tensor 'model.norm.weight' is in model-00001"),
    MAP("a tensor that no file has", MAPPED("model.norm.weight", "2"), MAPPED("model.norm.bias", "2"),
        "says that tensor 'model.norm.bias'"),
    { "the first file missing", MISTRAL, FIRST, TEXT, NULL, NULL, 0, "No such file" },
    { "the second file missing", MISTRAL, SECOND, TEXT, NULL, NULL, 0, "No such file" },
    { "the second file empty", MISTRAL, SECOND, TEXT, NULL, "", 0, "0 bytes are too few" },
    { "the second file a link to the first", MISTRAL, SECOND, LINK, NULL, FIRST, 0,
        "is in model-00001-of-00002.safetensors and in" },
    { "the second file a FIFO", MISTRAL, SECOND, KIND, NULL, "fifo", 0, "not a regular file" },
    { "the second file a link to itself", MISTRAL, SECOND, LINK, NULL, SECOND, 0, "Too many levels" },
    { "the second file of another model", MISTRAL, SECOND, EDIT, "[32]", "[16,2]", 0, "has the shape [16 x 2]" },
    { "a tensor of the second file in another type", MISTRAL, SECOND, EDIT, "BF16", "I16", 0, "is I16" },
};

static void bad_indices(void) { run(indices, KV_COUNT(indices)); }

/* --- cut files ------------------------------------------------------------------------------------------------ */

/* Every prefix of what is read first, and those around the middle and the end of the rest. */
static void cut(enum base base, const char *file, size_t every)
{
    size_t size = 0, cases = 0;
    char *data = read_golden(base, file, &size);
    REQUIRE(data, "%s is not there", file);
    bool json = strstr(file, "json");
    while (json && size && data[size - 1] <= ' ') size--;
    uint64_t head = 0;
    if (!json) memcpy(&head, data, 8);
    for (size_t at = 0; at < size; at += !json && at >= 8 + head ? (size - at > 999 ? 997 : 1) : every, cases++) {
        const struct change c = { "cut", base, file, CUT, NULL, NULL, at, "" };
        apply(&c);
        check(&c);
    }
    printf("# %s: %zu folders\n", file, cases);
    free(data);
}

static void cut_files(void)
{
    cut(LLAMA, CONFIG, 1);
    cut(LLAMA, "generation_config.json", 1);
    cut(MISTRAL, INDEX, 7);
    cut(LLAMA, ONE, 5);
    cut(MISTRAL, SECOND, 5);
}

/* Every byte of the two headers set to what a parser may trip over: refused, or opened with every byte in reach. */
static void damaged_headers(void)
{
    static const char bytes[] = "\"\\{[,9-e\x80";
    size_t size = 0, opened = 0, refused = 0;
    char *data = read_golden(MISTRAL, SECOND, &size);
    REQUIRE(data, "no golden");
    link_golden(MISTRAL);
    uint64_t head;
    memcpy(&head, data, 8);
    for (size_t at = 0; at < 8 + head; at += 3) {
        struct kv_model *m = NULL;
        struct kv_error err = { 0 };
        char was = data[at];
        data[at] = bytes[at % (sizeof bytes - 1)];
        write_file(SECOND, data, size);
        enum kv_status status = kv_model_open(folder, &m, &err);
        if (status)
            CHECK(is_one_sentence(err.text), "byte %zu: %s", at, err.text);
        else
            CHECK(touch(m) != 0, "byte %zu: nothing was read", at);
        *(status ? &refused : &opened) += 1;
        kv_model_close(m);
        data[at] = was;
    }
    CHECK(refused > 10 * opened, "%zu refused, %zu opened", refused, opened);
    printf("# %zu refused, %zu opened\n", refused, opened);
    free(data);
}

static const struct tap_case cases[] = {
    { "weights that vary open", good_weights },
    { "model.safetensors", bad_weights },
    { "model.safetensors.index.json and its files", bad_indices },
    { "cut files", cut_files },
    { "damaged headers", damaged_headers },
};

int main(int argc, char **argv) { return folder_main(argc, argv, cases, KV_COUNT(cases)); }
