/* A message for a person: what was found, where, what was expected, how to fix it. Filled by whoever fails,
 * shown by whoever knows the user. */
#ifndef CORE_ERROR_H
#define CORE_ERROR_H

struct error {
    char text[512];
};

/* Formats into err (which may be NULL) and returns -1, so that a caller can `return error_set(err, …)`. */
int error_set(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before what err says. */
int error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The name among names[0..n) nearest to `word` by edit distance, NULL if none is near (for "did you mean
 * …?"). */
const char *error_nearest(const char *word, const char *const names[], unsigned n);

#endif
