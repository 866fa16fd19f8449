/* The parsers of files of lines: the first byte says which kind, the rest is the file. */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct source_config config = {.csv_size_scale = 2, .symbols_max = 1000};
    char path[64], spec[96];
    if (size == 0 || !file_of(data + 1, size - 1, path))
        return 0;
    if (data[0] % 3 == 2) {
        read_history(path, &config);
    } else {
        snprintf(spec, sizeof spec, "%s:%s", data[0] % 3 ? "binance-jsonl" : "csv", path);
        read_source(spec, &config);
    }
    return 0;
}
