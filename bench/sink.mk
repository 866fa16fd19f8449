BENCHES += $B/bench/sink

$B/bench/sink: bench/sink.c $B/libringtape.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) bench/sink.c $B/libringtape.a $(LDFLAGS) $(LIBS) -o $@
