#!/usr/bin/env python3
"""The tape into a real Redis: the streams, the prices, and the other outputs of the same run."""
from redis_server import *

need_data(TAPE)
need_redis()
redis = Redis("redis")
try:
    file = rules("r.json", *EVERYTHING)
    ringtape("replay", f"csv:{TAPE}", "--rules", file, "--alerts", path("want.jsonl"), "--bars", path("want.csv"))
    want = [json.loads(l) for l in open(path("want.jsonl"))]
    directory = new_dir()
    ringtape("run", "--source", f"csv:{TAPE}", "--rules", file, "--dir", directory, "--speed", "max", "--until-end", "--scanners", "2",
             "--alerts", path("run.jsonl"), "--bars", path("run.csv"), "--set", f"sinks.redis={redis.url}", "--set", f"sinks.jsonl={path('sink.jsonl')}",
             "--set", "redis.alerts_maxlen=10000000", code=0)
    got = [json.loads(e) for e in redis.events()]
    key = lambda a: (a["seq"], a["id"])
    ok(sorted(map(key, got)) == sorted(map(key, want)), f"stream alerts: each of {len(want)} exactly once", len(got))
    ok(sorted(map(json.dumps, got)) == sorted(map(json.dumps, want)), "… and with the same content")
    per = lambda rows: {s: [key(r) for r in rows if r["symbol"] == s] for s in {r["symbol"] for r in rows}}
    ok(per(got) == {s: sorted(v) for s, v in per(want).items()} or all([k[0] for k in v] == sorted(k[0] for k in v) for v in per(got).values()),
       "order per symbol is kept")
    bars = [json.loads(e) for e in redis.events("bars.finalized")]
    ok(len(bars) == 2254 and len({(b["symbol"], b["timestamp"]) for b in bars}) == 2254, "stream bars.finalized: 2,254 bars, each once", len(bars))
    last = {}
    for line in list(zstd_lines(TAPE))[1:]:
        a = line.split(",")
        last[a[1]] = float(a[2])
    ok({s: float(redis("GET", f"price:{s}") or "nan") for s in last} == last, "price:SYM is the last price of every symbol",
       [redis("GET", f"price:{s}") for s in last])
    sink = [json.loads(l) for l in open(path("sink.jsonl"))]
    ok(sorted(map(key, sink)) == sorted(map(key, want)), "the JSON lines sink too: each exactly once", len(sink))
    ok(alerts(path("run.jsonl")) == alerts(path("want.jsonl")), "--alerts is what replay writes")
    ok(open(path("run.csv")).read() == open(path("want.csv")).read(), "--bars is what replay writes")
finally:
    redis.stop("kill")
done()
