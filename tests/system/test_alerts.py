#!/usr/bin/env python3
"""Alerts on real data against a ten-line script and against the independent oracle. SOAK=1: the captures whole."""
import math
from lib import *

need_data(TAPE, *USDM)


def ten_line_script(threshold):
    fired, out = {}, []
    for line in list(zstd_lines(TAPE))[1:]:
        ts, symbol, price = line.split(",")[:3]
        if float(price) > threshold and int(ts) - fired.get(symbol, -10**18) >= 10 * 10**9:
            fired[symbol] = int(ts)
            out.append((symbol, int(ts)))
    return sorted(out)


def ns(text):
    import datetime
    t = datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    return int(t.timestamp()) * 10**9 + int(text[20:29])


file = rules("price.json", *({"id": str(x), "conditions": [{"metric": "price", "operator": ">", "value": x}], "cooldown": 10}
                             for x in (167.5, 168.5)))
ringtape("replay", f"csv:{TAPE}", "--rules", file, "--set", "bars.eligibility=all", "--alerts", path("a.jsonl"))
got = [json.loads(l) for l in open(path("a.jsonl"))]
for x, counts in ((167.5, {"SPY": 205, "IBM": 1860}), (168.5, {"IBM": 1860})):
    mine = sorted((a["symbol"], ns(a["timestamp"])) for a in got if a["rule_id"] == str(x))
    ok(mine == ten_line_script(x), f"price > {x}: exactly the script's alerts")
    have = {s: sum(1 for m in mine if m[0] == s) for s in {m[0] for m in mine}}
    ok(have == counts, f"price > {x}: {counts}", have)
a = got[0]
ok(list(a) == ["id", "rule_id", "rule_name", "rule_version", "symbol", "timestamp", "price", "message", "metadata", "trace_id",
               "seq", "kind", "revision"] and a["trace_id"] == a["id"] and len(a["id"]) == 32, "an alert has the keys of the contract, in order", a)
ok(len({a["id"] for a in got}) == len(got), "ids are unique")

try:
    import xxhash  # noqa: F401  the oracle needs it
    have_oracle = os.path.exists(os.path.join(SHARED, "tools/oracle.py"))
except ImportError:
    have_oracle = False


def bare(name):
    return name.replace("@1m", "")


def against_oracle(what, rule_file, sources):
    if not have_oracle:
        print(f"ok - {what} # SKIP no oracle or no python3-xxhash")
        return
    o = subprocess.run([sys.executable, os.path.join(SHARED, "tools/oracle.py"), "--rules", rule_file, *sources], capture_output=True, text=True)
    want = [json.loads(l) for l in o.stdout.splitlines()]
    # the oracle takes every print as eligible
    ringtape("replay", *sources, "--rules", rule_file, "--set", "bars.eligibility=all", "--alerts", path("o.jsonl"), "--to", 1 << 62)
    last = max((ns(w["timestamp"]) for w in want), default=0)
    mine = [json.loads(l) for l in open(path("o.jsonl"))]
    key = lambda a: (ns(a["timestamp"]), a["symbol"], a["rule_id"])
    # the oracle has no CLOCK at the end of the source: what only that closes is not compared
    mine = [m for m in mine if key(m)[0] <= last]
    want.sort(key=key)
    mine.sort(key=key)
    same = [key(w) for w in want] == [key(m) for m in mine]
    ok(same and len(want) > 20, f"{what}: the same {len(want)} alerts as the oracle", f"{len(mine)} here")
    bad = [] if same else ["not compared"]
    for w, m in zip(want, mine) if same else ():
        b = {bare(k): v for k, v in m["metadata"].items()}
        for k, v in w["metadata"].items():
            g = b[bare(k)]
            if (v is None) != (g is None) or (v is not None and not math.isclose(v, g, rel_tol=1e-9, abs_tol=1e-12)):
                bad.append((w, m))
    ok(not bad, f"{what}: operands agree at 1e-9", bad[:2])


def rule(i, trigger, cooldown, *conditions):
    return {"id": i, "trigger": trigger, "cooldown": cooldown,
            "conditions": [{"metric": m, "operator": o, "value": v} for m, o, v in conditions]}


tape_rules = rules("tape.json",
    rule("a", "level", 30, ("price", ">", 167.35), ("change_1m", "<=", 0.02)),
    rule("b", "cross", 5, ("change_pct_1m", ">", 0.02), ("rsi(14)", ">", 50)),
    rule("c", "level", 60, ("volume_5m", "<", 20000), ("ema(9)", ">", 14)),
    rule("d", "cross", 0, ("vwap(session)", ">=", 49), ("sma(10)", "<=", 185)),
    rule("e", "cross", 0, ("close", "==", 14.0)),
    rule("f", "level", 3, ("change_2m", "!=", 0), ("trade_count_2m", ">", 300), ("volume", ">", 10000)),
    rule("g", "cross", 1, ("high", ">", 14.02), ("low", "<", 200), ("open", ">", 1)))
SOAK = os.environ.get("SOAK")  # the oracle takes minutes for more
trades = 90000 if SOAK else 45000
part = write("part.csv", "".join(l for i, l in enumerate(zstd_lines(TAPE)) if i <= trades))
against_oracle(f"tape, {trades} trades", tape_rules, [f"csv:{part}"])
usdm_rules = rules("usdm.json",
    rule("a", "level", 10, ("change_pct_1m", ">", 0.05)),
    rule("b", "level", 1, ("spread", ">", 0.1)),
    rule("c", "cross", 0, ("change_pct_2m", "<", -0.02), ("bid", ">", 2000)),
    rule("d", "cross", 5, ("rsi(3)", "<", 40), ("spread", "<=", 0.1)),
    rule("e", "level", 5, ("volume_1m", "<", 30), ("trade_count_3m", ">", 50), ("ema(2)", ">", 1), ("sma(3)", ">", 1)),
    rule("f", "cross", 0, ("price", ">", 61650), ("vwap(session)", "<", 61680), ("high", ">", 0), ("volume", ">", 0)))
parts = USDM if SOAK else [
    write(os.path.basename(p)[:-4], "".join(l for i, l in enumerate(zstd_lines(p)) if i < 30000)) for p in USDM]
against_oracle("both usdm captures", usdm_rules, [f"binance-jsonl:{p}" for p in parts])
done()
