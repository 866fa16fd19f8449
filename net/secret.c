#include "net/secret.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

int secret_read(const char *setting, const char *path, char line[SECRET_BYTES], struct error *err)
{
    *line = 0;
    if (!path || !*path)
        return 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return error_set(err, "%s: cannot read %s: %s", setting, path, strerror(errno));
    setvbuf(f, NULL, _IONBF, 0);
    bool read = fgets(line, SECRET_BYTES, f) != NULL;
    fclose(f);
    size_t len = strcspn(line, "\r\n");
    bool cut = read && !line[len] && len == SECRET_BYTES - 1;
    line[len] = 0;
    if (read && *line && !cut)
        return 0;
    explicit_bzero(line, SECRET_BYTES);
    return error_set(err, "%s: the first line of %s is %s, expected a password of at most %d bytes", setting,
                     path, cut ? "too long" : "empty", SECRET_BYTES - 2);
}
