/* The source of Databento's files: the input is one, plain or compressed. */
#include "tests/fuzz/check_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct source_config config = {.symbols_max = 1000};
    char path[64], spec[96];
    if (!file_of(data, size, path))
        return 0;
    snprintf(spec, sizeof spec, "dbn:%s", path);
    read_source(spec, &config);
    return 0;
}
