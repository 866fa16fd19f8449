#!/usr/bin/env python3
"""The tape into a real Redis: the streams, latest prices, live bars and quotes, and the other outputs of the same run."""
from decimal import Decimal
from redis_server import *

need_data(TAPE)
os.environ["RINGTAPE_BARS_ELIGIBILITY"] = "all"  # the numbers below are of every print
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
    last, when, minute, live = {}, {}, {}, {}
    for line in list(zstd_lines(TAPE))[1:]:
        a = line.split(",")
        last[a[1]] = float(a[2])
        when[a[1]] = int(a[0]) // 10**6
        minute[a[1]] = max(minute.get(a[1], 0), int(a[0]) // (60 * 10**9))
        live.setdefault((a[1], int(a[0]) // (60 * 10**9)), []).append((Decimal(a[2]), Decimal(a[3])))
    ok({s: float(redis("GET", f"price:{s}") or "nan") for s in last} == last, "price:SYM is the last price of every symbol",
       [redis("GET", f"price:{s}") for s in last])
    def live_bar(s):
        trades = live[s, minute[s]]
        prices = [p for p, _ in trades]
        volume = sum(n for _, n in trades)
        return {"symbol": s, "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime(minute[s] * 60)), "open": prices[0],
                "high": max(prices), "low": min(prices), "close": prices[-1], "volume": volume,
                "vwap_num": sum(p * n for p, n in trades), "vwap_denom": volume}
    got = {s: json.loads(redis("GET", f"livebar:{s}") or "null", parse_float=Decimal, parse_int=Decimal) for s in last}
    ok(got == {s: live_bar(s) for s in last}, "livebar:SYM is the bar of the last minute of every symbol, its sums exact",
       [(got[s], live_bar(s)) for s in last if got[s] != live_bar(s)])
    ok(all(0 < redis("TTL", f"livebar:{s}") <= 300 for s in last), "… for five minutes")
    quotes = {s: dict(zip(*[iter(redis("HGETALL", f"quotes:latest:{s}"))] * 2)) for s in last}
    ok({s: (float(q["price"]), int(q["ts_ms"]), len(q)) for s, q in quotes.items()} == {s: (last[s], when[s], 2) for s in last},
       "quotes:latest:SYM is the last price of every symbol and its time", quotes)
    sink = [json.loads(l) for l in open(path("sink.jsonl"))]
    ok(sorted(map(key, sink)) == sorted(map(key, want)), "the JSON lines sink too: each exactly once", len(sink))
    ok(alerts(path("run.jsonl")) == alerts(path("want.jsonl")), "--alerts is what replay writes")
    ok(open(path("run.csv")).read() == open(path("want.csv")).read(), "--bars is what replay writes")
finally:
    redis.stop("kill")
done()
