BENCHES += $B/bench/engine $B/bench/rules $B/bench/market
BENCH_TAPE := ../shared/data/ticks/us-equity-lean/tape_20131008_trades.csv.zst

$B/bench/engine: bench/engine.c bench/ticks.c bench/ticks.h bench/bare_loop.h $B/libringtape.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) bench/engine.c bench/ticks.c $B/libringtape.a $(LDFLAGS) $(LIBS) -o $@

$B/bench/rules: bench/rules.c bench/ticks.c bench/ticks.h $B/libringtape.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) bench/rules.c bench/ticks.c $B/libringtape.a $(LDFLAGS) $(LIBS) -o $@

$B/bench/market: bench/market.c $B/libringtape.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) bench/market.c $B/libringtape.a $(LDFLAGS) $(LIBS) -o $@
