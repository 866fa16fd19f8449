#include "net/lines.h"
#include "tests/unit/source_harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <zstd.h>

/* All lines joined; *end is what lines_next gave at last. The spans are checked: whole lines, readable
 * margins. */
static char *take_all(const char *file, size_t *len, int *end, struct error *err)
{
    struct lines *l = lines_open(file, err);
    assert_non_null(l);
    char *all = NULL, *text;
    size_t n, total = 0;
    unsigned margin = 0;
    while ((*end = lines_next(l, &text, &n, err)) > 0) {
        assert_true(n > 0 && text[n - 1] == '\n');
        for (int i = 1; i <= LINES_PAD; i++)
            margin += (unsigned char)text[-i] + (unsigned char)text[n - 1 + (size_t)i];
        all = realloc(all, total + n + 1);
        memcpy(all + total, text, n);
        total += n;
    }
    assert_true(margin < UINT32_MAX); /* read, for the sanitizers to see */
    if (*end < 0)
        assert_int_equal(lines_next(l, &text, &n, NULL), -1);
    *len = total;
    lines_close(l);
    return all;
}

static void check_text(const char *expected, size_t n)
{
    size_t len;
    int end;
    struct error err;
    char *all = take_all(path, &len, &end, &err);
    assert_int_equal(end, 0);
    assert_int_equal(len, n);
    assert_true(n == 0 || memcmp(all, expected, n) == 0);
    free(all);
}

static void test_plain(void **state)
{
    (void)state;
    write_file("", 0);
    check_text("", 0);
    write_file("\n", 1);
    check_text("\n", 1);
    write_file("a\nb", 3);
    check_text("a\nb\n", 4);
    write_file("a\r\n\0\nb\n", 7);
    check_text("a\r\n\0\nb\n", 7);
    write_file("(\xb5", 2); /* the start of zstd's magic, and no more */
    check_text("(\xb5\n", 3);
}

/* Lines of every length around a block's end: no byte is lost or doubled where a line straddles. */
static char *long_text(size_t *len)
{
    char *text = malloc(8 << 20);
    size_t n = 0;
    assert_non_null(text);
    for (unsigned i = 0; n < (8u << 20) - 200000; i++) {
        unsigned width = i % 1000 == 999 ? 150000 : i * 7919 % 191;
        for (unsigned k = 0; k < width; k++)
            text[n++] = (char)('a' + (i + k) % 26);
        text[n++] = '\n';
    }
    *len = n;
    return text;
}

static void write_zstd(const char *text, size_t n, size_t frame)
{
    size_t room = ZSTD_compressBound(n) * 2 + 1024, used = 0;
    char *packed = malloc(room);
    assert_non_null(packed);
    for (size_t at = 0; at < n || at == 0; at += frame) {
        size_t some = n - at < frame ? n - at : frame;
        size_t got = ZSTD_compress(packed + used, room - used, text + at, some, 1);
        assert_false(ZSTD_isError(got));
        used += got;
    }
    write_file(packed, used);
    free(packed);
}

static void test_long(void **state)
{
    (void)state;
    size_t n;
    char *text = long_text(&n);
    write_file(text, n);
    check_text(text, n);
    write_zstd(text, n, n);
    check_text(text, n);
    write_zstd(text, n, 100003); /* many frames; they end within lines */
    check_text(text, n);
    write_file("\x50\x2a\x4d\x18\x03\0\0\0abc", 11); /* a skippable frame, alone */
    check_text("", 0);
    free(text);
}

static size_t file_bytes(char *buffer, size_t max)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(buffer, 1, max, f);
    fclose(f);
    return n;
}

/* A .zst cut anywhere: an error that names the file and the place, after the whole lines that precede it. */
static void test_truncated(void **state)
{
    (void)state;
    char text[20000], packed[40000];
    size_t n = 0;
    struct error err;
    for (unsigned i = 0; n < sizeof text - 20; i++)
        n += (size_t)snprintf(text + n, 20, "%u\n", i * 2654435761u);
    write_zstd(text, n, 5000);
    size_t size = file_bytes(packed, sizeof packed), cut_frames = 0;
    for (size_t cut = 4; cut < size; cut += 37) {
        size_t len;
        int end;
        write_file(packed, cut);
        char *all = take_all(path, &len, &end, &err);
        assert_true(len < n && (len == 0 || memcmp(all, text, len) == 0));
        free(all);
        if (end == 0) { /* between two frames: nothing tells */
            assert_true(len % 5000 < 20 || 5000 - len % 5000 < 20);
            cut_frames++;
            continue;
        }
        char place[32];
        snprintf(place, sizeof place, "byte %zu", cut);
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, "truncated"));
        assert_non_null(strstr(err.text, place));
    }
    assert_true(cut_frames <= 1);
}

static void test_damaged(void **state)
{
    (void)state;
    char packed[8192], text[6000];
    struct error err;
    size_t len, n = 0;
    int end;
    for (unsigned i = 0; n < sizeof text - 20; i++)
        n += (size_t)snprintf(text + n, 20, "%u\n", i * 2654435761u);
    write_zstd(text, n, n);
    size_t size = file_bytes(packed, sizeof packed);
    memcpy(packed + size, "junk that is no frame\n", 22);
    write_file(packed, size + 22);
    char *all = take_all(path, &len, &end, &err);
    assert_int_equal(end, -1);
    assert_int_equal(len, n); /* what precedes it is good */
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "no other"));
    free(all);
    packed[4] ^= 0xff; /* the frame's header */
    write_file(packed, size);
    all = take_all(path, &len, &end, &err);
    assert_int_equal(end, -1);
    assert_non_null(strstr(err.text, path));
    free(all);
}

static void test_unusable(void **state)
{
    (void)state;
    struct error err;
    assert_null(lines_open("/no/such/file", &err));
    assert_non_null(strstr(err.text, "/no/such/file: No such file"));
    assert_null(lines_open(dir, &err));
    assert_non_null(strstr(err.text, "a directory, expected a file"));
}

static void test_too_long_a_line(void **state)
{
    (void)state;
    size_t n = LINES_LINE_MAX + 10, len;
    int end;
    struct error err;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, 'x', n);
    memcpy(text, "first\n", 6);
    write_file(text, n);
    char *all = take_all(path, &len, &end, &err);
    assert_int_equal(end, -1);
    assert_int_equal(len, 6);
    assert_non_null(strstr(err.text, "byte 6"));
    free(all);
    text[LINES_LINE_MAX / 2] = '\n'; /* two long ones are fine */
    write_file(text, LINES_LINE_MAX);
    text[LINES_LINE_MAX] = '\n';
    check_text(text, LINES_LINE_MAX + 1);
    free(text);
}

static void *feed_pipe(void *arg)
{
    int fd = open(arg, O_WRONLY);
    const char *parts[] = {"(", "\xb5 no magic\nb", "c\n", "d"};
    for (size_t i = 0; i < COUNT(parts); i++) {
        if (write(fd, parts[i], strlen(parts[i])) < 0)
            break;
        usleep(2000);
    }
    close(fd);
    return NULL;
}

static void test_pipe(void **state)
{
    (void)state;
    pthread_t writer;
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pthread_create(&writer, NULL, feed_pipe, path), 0);
    check_text("(\xb5 no magic\nbc\nd\n", 17);
    pthread_join(writer, NULL);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_long),
        cmocka_unit_test(test_truncated), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_unusable),  cmocka_unit_test(test_too_long_a_line),
        cmocka_unit_test(test_pipe),
    };
    return cmocka_run_group_tests_name("source_lines", tests, make_dir, remove_dir);
}
