#!/usr/bin/env python3
"""Sale conditions on three real days: the share of the provider's own minute bars that ours equal, field by field, with
all prints and with the table. What is left, and why, stands in docs/market-rules.md."""
import datetime, glob
from lib import *

SYMBOLS, DAYS, FIELDS = ("aig", "bac", "ibm", "spy"), ("20131007", "20131008", "20131009"), ("open", "high", "low", "close", "volume")
need_data(EQUITY)


def midnight_ns(day):
    """New York's midnight; these days are EDT."""
    return int(datetime.datetime.strptime(day + "-0400", "%Y%m%d%z").timestamp()) * 10**9


def tape(day):
    rows = []
    for n, s in enumerate(SYMBOLS):
        for i, line in enumerate(zstd_lines(f"{EQUITY}/trade/{s}_{day}_trade.csv.zst")):
            ms, price, size, venue, flags, _ = line.rstrip("\n").split(",")
            rows.append((int(ms), n, i, f"{int(price) / 10000:.4f},{size},{venue},{flags}"))
    rows.sort()
    start = midnight_ns(day)
    return write(f"{day}.csv", "ts_ns,symbol,price,size,exchange,cond_hex\n" + "".join(
        f"{start + ms * 10**6},{SYMBOLS[n].upper()},{rest}\n" for ms, n, _, rest in rows))


def provider(day):
    bars = {}
    for s in SYMBOLS:
        for line in open(f"{EQUITY}/bars-minute/{s}_{day}_trade.csv"):
            ms, *v = line.rstrip("\n").split(",")
            bars[midnight_ns(day) + int(ms) * 10**6, s.upper()] = [round(float(x) / 10000, 4) for x in v[:4]] + [int(float(v[4]))]
    return bars


def ours(file, eligibility):
    ringtape("replay", f"csv:{file}", "--set", f"bars.eligibility={eligibility}", "--bars", path("bars.csv"))
    return {(int(r["bar_start_ns"]), r["symbol"]): [round(float(r[f]), 4) for f in FIELDS[:4]] + [int(r["volume"])]
            for r in csv.DictReader(open(path("bars.csv")))}


share = {e: dict.fromkeys(FIELDS, 0) for e in ("all", "table")}
lacking, extra, total = {"all": 0, "table": 0}, {"all": 0, "table": 0}, 0
for day in DAYS:
    file, theirs = tape(day), provider(day)
    total += len(theirs)
    for e in share:
        mine = ours(file, e)
        lacking[e] += len(theirs.keys() - mine.keys())
        extra[e] += len(mine.keys() - theirs.keys())
        for key in theirs.keys() & mine.keys():
            for i, f in enumerate(FIELDS):
                share[e][f] += theirs[key][i] == mine[key][i]
common = {e: total - lacking[e] for e in share}
print(f"# {total} bars of the provider; without one of ours: {lacking}; ours without one of theirs: {extra}")
for f in FIELDS:
    print(f"# {f}: " + ", ".join(f"{e} {share[e][f] / common[e]:.4f} ({share[e][f]})" for e in share))
same = {e: {f: share[e][f] / common[e] for f in FIELDS} for e in share}
for f in ("open", "high", "low", "volume"):
    ok(same["table"][f] > same["all"][f], f"with the table more of the bars have the provider's {f}", same)
ok(same["table"]["high"] > 0.94 and same["table"]["low"] > 0.92 and same["table"]["volume"] > 0.995,
   "high and low agree in more than 94 and 92 of 100 bars, the volume in more than 99.5", same)
ok(abs(same["table"]["close"] - same["all"]["close"]) < 0.005, "the close is as before within half a percent", same)
ok(lacking["all"] == 0 and 0 < lacking["table"] < 0.01 * total and extra["table"] < extra["all"],
   "fewer than 1 of 100 minutes have no last sale by the table, where the provider has a bar", f"{lacking} {extra}")
done()
