#!/usr/bin/env python3
"""Toplists in a real Redis: a sorted set for each metric and window, users' own, and the channel that tells of them."""
from redis_server import *

need_redis()
SIM = "sim:symbols=120,seed=6,start=2026-03-02T09:25:00-05:00,minutes=20,rate=300"
USERS = write("lists.json", json.dumps([
    {"id": "cheap", "user_id": "ann", "metric": "volume", "time_window": "5m", "filters": {"price_max": 60}},
    {"id": "weak", "user_id": "bob", "metric": "volume", "time_window": "5m",
     "filters": {"expr": "rsi(14)@1m < 45 or price < vwap(15m) and not price > 60"}},
    {"id": "off", "user_id": "ann", "metric": "volume", "time_window": "5m", "enabled": False}]))
SET = ["--set", "toplists.enabled=true", "--set", f"toplists.file={USERS}", "--set", "toplists.depth=10", "--set", "toplists.interval_ms=100"]


def ranks(name, limit):
    p = ringtape("replay", SIM, "--toplist", name, "--json", "--limit", limit, "--set", f"toplists.file={USERS}")
    return {r["symbol"]: r["value"] for r in json.loads(p.stdout)["rankings"]}


redis = Redis("redis")
try:
    heard = redis.connect("SUBSCRIBE", "toplists.updated")
    receive(heard)
    d = new_dir()
    p = subprocess.Popen([BIN, "run", "--source", SIM, "--dir", d, "--speed", "200", "--scanners", "2", *SET,
                          "--set", f"sinks.redis={redis.url}"], stderr=open(path("run.log"), "w"))
    ok(wait_for(lambda: redis("ZCARD", "toplist:change_pct:1m"), 20), "lists come while it runs", open(path("run.log")).read()[-800:])
    ended = lambda: "source has ended" in subprocess.run([BIN, "toplist", "gainers_5m", "--dir", d], capture_output=True, text=True).stdout
    said = json.loads(receive(heard)[2])
    ok({"change_pct:1m", "rsi:15m", "user:ann:cheap"} <= set(said["toplists"]) and said["timestamp"].startswith("2026-03-02T"),
       "the channel names them", said)
    ok(wait_for(ended, 60), "the end is shown")
    time.sleep(0.5)
    for metric, window, high, low in (("change_pct", "5m", "gainers_5m", "losers_5m"), ("vwap_dist", "5m", "vwap_dist_high", "vwap_dist_low")):
        got = redis("ZRANGE", f"toplist:{metric}:{window}", "0", "-1", "WITHSCORES")
        got = {s: float(v) for s, v in zip(got[::2], got[1::2])}
        ok(got == {**ranks(high, 10), **ranks(low, 10)} and len(got) == 20, f"toplist:{metric}:{window} has both ends of the list", got)
    best = redis("ZREVRANGE", "toplist:change_pct:5m", "0", "4")
    ok(best == list(ranks("gainers_5m", 5)), "its highest are the gainers, in order", best)
    got = redis("ZREVRANGE", "toplist:user:ann:cheap", "0", "-1")
    ok(got == list(ranks("ann:cheap", 10)) and len(got) == 10, "a user's list", got)
    got = redis("ZREVRANGE", "toplist:user:bob:weak", "0", "-1")
    ok(got and got == list(ranks("weak", 10)) and got != list(ranks("volume_5m", 10)), "one with an expression", got)
    ok(redis("EXISTS", "toplist:user:ann:off") == 0, "none that is switched off")
    ok(not [k for k in redis("KEYS", "toplist:*") if k.endswith(":next")], "nothing half made is left")
    p.send_signal(signal.SIGTERM)
    ok(p.wait(60 * PATIENCE) == 0, "it ends")
    redis("FLUSHALL")
    ringtape("run", "--source", SIM, "--dir", new_dir(), "--speed", "max", "--until-end", *SET, "--set", f"sinks.redis={redis.url}")
    ok(redis("ZREVRANGE", "toplist:user:ann:cheap", "0", "-1") == list(ranks("ann:cheap", 10)), "--until-end waits for the last ones")
finally:
    redis.stop("kill")
done()
