/* The parsers of files of lines: the first byte says which kind, the rest is the file. */
#include "net/attributes.h"
#include "net/history.h"
#include "tests/fuzz/check_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_history(const char *path, const struct source_config *config)
{
    struct error err;
    struct history *h = history_load(path, config, NULL, NULL, &err);
    if (h)
        history_free(h);
    else
        assert(err.text[0]);
}

/* Of every symbol there is only what a message may say. */
static void read_attributes(const char *path, const struct source_config *config)
{
    struct error err;
    struct attribute_file *f = attribute_file_load(path, config, NULL, NULL, &err);
    if (!f) {
        assert(err.text[0]);
        return;
    }
    const struct source *names = (const struct source *)f; /* the names are its head */
    for (uint32_t i = 0; i < attribute_file_symbols(f); i++)
        assert(attributes_sound(attribute_file_find(f, names->symbols[i].name, names->symbols[i].name_len)));
    attribute_file_free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct source_config config = {.csv_size_scale = 2, .symbols_max = 1000};
    char path[64], spec[96];
    if (size == 0 || !file_of(data + 1, size - 1, path))
        return 0;
    if (data[0] % 4 == 3) {
        read_attributes(path, &config);
    } else if (data[0] % 4 == 2) {
        read_history(path, &config);
    } else {
        snprintf(spec, sizeof spec, "%s:%s", data[0] % 4 ? "binance-jsonl" : "csv", path);
        read_source(spec, &config);
    }
    return 0;
}
