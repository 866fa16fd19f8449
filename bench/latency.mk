BENCHES += $B/bench/latency

$B/bench/latency: bench/latency.c $B/libringtape.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) bench/latency.c $B/libringtape.a $(LDFLAGS) $(LIBS) -o $@

BENCHES += $B/bench/probe

$B/bench/probe: bench/probe.c $B/bench/placement.o
	$(CC) $(CFLAGS) $^ $(LDFLAGS) -lpthread -o $@
