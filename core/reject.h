/* The reasons for which ingest refuses a row: one table for sources, counters and documents. */
#ifndef CORE_REJECT_H
#define CORE_REJECT_H

/* Why a row is refused: enum suffix, name as counted, what it means. */
#define REJECT_REASONS(X)                                                                                    \
    X(FORMAT, "format", "the row or message could not be parsed")                                            \
    X(COLUMNS, "columns", "fewer columns than the header names")                                             \
    X(SYMBOL_MISSING, "symbol_missing", "no symbol")                                                         \
    X(SYMBOL_LENGTH, "symbol_length", "a symbol longer than 63 bytes, or with control characters")           \
    X(SYMBOLS_FULL, "symbols_full", "more symbols than limits.symbols")                                      \
    X(TIME_MISSING, "time_missing", "neither event nor receive time")                                        \
    X(TIME_FORMAT, "time_format", "a time that is no number, or outside 1970 to 2262")                       \
    X(TIME_JUMP, "time_jump", "a jump of more than an hour that the next row does not confirm")              \
    X(PRICE_MISSING, "price_missing", "no price")                                                            \
    X(PRICE_FORMAT, "price_format", "a price that is no decimal number")                                     \
    X(PRICE_SIGN, "price_sign", "a price that is not above 0")                                               \
    X(PRICE_RANGE, "price_range", "a price over 9,223,372,036 or with more than 9 decimal places")           \
    X(SIZE_MISSING, "size_missing", "no size")                                                               \
    X(SIZE_FORMAT, "size_format", "a size that is no decimal number, or negative")                           \
    X(SIZE_RANGE, "size_range",                                                                              \
      "a size with more decimal places than the symbol's scale (csv.size_scale), or that does not fit 64 "   \
      "bits")

#define X(name, text, help) REJECT_##name,
enum reject_reason { REJECT_REASONS(X) REJECT_COUNT };
#undef X

#endif
