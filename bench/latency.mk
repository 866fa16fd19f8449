BENCHES += $B/bench/latency

$B/bench/latency: bench/latency.c $B/libringtape.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) bench/latency.c $B/libringtape.a $(LDFLAGS) $(LIBS) -o $@
