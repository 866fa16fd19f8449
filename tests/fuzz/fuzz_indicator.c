/* An indicator's name: what is taken reads back from its canonical form as the same; what is refused says
 * what was expected. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/indicator.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct indicator x, again;
    struct error err = {""};
    char name[INDICATOR_NAME_MAX];
    char *text = malloc(size + 1); /* of its own, for a sanitizer to see what is read behind it */
    if (!text)
        return 0;
    memcpy(text, data, size);
    while (size && text[size - 1] == '\n')
        size--;
    int r = indicator_parse(text, size, &x, &err);
    if (r == 0) {
        indicator_name(&x, name);
        assert(strlen(name) < sizeof name - 1);
        r = indicator_parse(name, strlen(name), &again, &err);
        assert(r == 0 && !memcmp(&x, &again, sizeof x));
        assert(indicator_words(&x) > 0 && indicator_warmup(&x) > 0);
    } else {
        assert(r == 1 || (r == -1 && strstr(err.text, "expected")));
    }
    free(text);
    return 0;
}
