#!/usr/bin/env python3
"""Metrics of days on real trades against a reading of docs/metrics.md that keeps every trade and looks at all of them
anew: every twentieth trade of a day, once more as the next day, and a history made by a seed."""
import datetime, math
from lib import *

need_data(TAPE)
DAY, MINUTE = 86400 * 10**9, 60 * 10**9
rows = [l.rstrip("\n").split(",")[:4] for i, l in enumerate(zstd_lines(TAPE)) if i and i % 20 == 0]
trades = [(int(t) + d * DAY, s, round(float(p) * 10**9), int(float(z))) for d in (0, 1) for t, s, p, z in rows]
tape = write("tape.csv", "ts_ns,symbol,price,size\n" + "".join(f"{t},{s},{p / 1e9:.9f},{z}\n" for t, s, p, z in trades))
first = datetime.date(2013, 10, 8)
symbols = sorted({s for _, s, _, _ in trades})
rng, history = random.Random(7), {}
for s in symbols:
    price = next(p for _, x, p, _ in trades if x == s)
    date, days = first, []
    while len(days) < 30:
        date -= datetime.timedelta(1)
        if date.weekday() < 5:
            o, c = (price + rng.randrange(-300, 300) * 10**7 for _ in range(2))
            days.insert(0, (date, o, max(o, c) + rng.randrange(100) * 10**7, min(o, c) - rng.randrange(100) * 10**7, c, rng.randrange(10**6, 10**7)))
    history[s] = days
lines = [f"{d},{s}," + ",".join(f"{x / 1e9:.9f}" for x in p) + f",{v}\n" for s in symbols for d, *p, v in history[s]]
rng.shuffle(lines)
hist = write("history.csv", "date,symbol,open,high,low,close,volume\n" + "".join(lines))

METRICS = ["change_pct_1d", "change_pct_5d", "avg_volume_20d", "range_5d", "range_pct_10d", "position_in_range_20d", "biggest_range_1m",
           "relative_range_pct", "relative_volume_daily", "relative_volume_same_time", "vwap_dist_1d", "vwap_dist_pct_1d",
           "sma(5)@1d", "ema(10)@1d", "rsi(14)@1d", "atr(14)@1d"]
file = rules("days.json", {"id": "w", "expr": "price > 0 and (price > 0 or " + " or ".join(f"{m} > 1" for m in METRICS) + ")", "cooldown": 900})
ringtape("replay", f"csv:{tape}", "--history", hist, "--rules", file, "--set", "bars.eligibility=all", "--alerts", path("a.jsonl"))
got = [json.loads(l) for l in open(path("a.jsonl"))]


def session(t):
    """The session of a time of these days (EDT): its number in the day, its start; the day's start."""
    day = (t - 8 * 60 * MINUTE) // DAY * DAY + 8 * 60 * MINUTE
    starts = [day, day + 330 * MINUTE, day + 720 * MINUTE, day + 960 * MINUTE]
    k = max(i for i in range(4) if t >= starts[i])
    return k, starts[k], day


def bar(ts):
    """Trades of one day as a daily bar: open, high, low, close, volume; None without a trade of the market."""
    m = [p for t, p, _ in ts if session(t)[0] == 1]
    return (m[0], max(m), min(m), m[-1], sum(z for _, _, z in ts)) if m else None


def wilder(x, n):
    if len(x) < n:
        return None
    mean = sum(x[:n]) / n
    for v in x[n:]:
        mean = (mean * (n - 1) + v) / n
    return mean


def atr(bars):
    return wilder([(max(b[1], a[3]) - min(b[2], a[3])) / 1e9 for a, b in zip(bars, bars[1:])], 14)


def same_time(ts, now, kept):
    k, start, day = session(now)
    minute = (now - start) // MINUTE
    early = (start - DAY) if kept and kept[0][0] // MINUTE * MINUTE <= start - DAY else None
    if early is None:
        return None
    cum = sum(z for t, z in kept if session(t)[1] == early and (t - early) // MINUTE <= minute)
    own = sum(z for t, z in kept if session(t)[1] == early and (t - early) // MINUTE == minute)
    volume = sum(z for t, _, z in ts if t >= start)
    return (volume + (1 - now % MINUTE / MINUTE) * own) / cum * 100 if cum else None


def keep_before(ts):
    """Trades of the last 500 minutes with one."""
    minutes = sorted({t // MINUTE for t, _, _ in ts})[-500:]
    return [(t, z) for t, _, z in ts if minutes and t // MINUTE >= minutes[0]]


def values(days, ts, now, kept):
    price, live = ts[-1][1], bar(ts)
    bars = days + ([live] if live else [])
    high, low = max(p for _, p, _ in ts), min(p for _, p, _ in ts)
    closes = [b[3] / 1e9 for b in bars]
    volume, pv = sum(z for _, _, z in ts), sum(p * z for _, p, z in ts)

    def extent(n):
        return max([high] + [b[1] for b in days[len(days) - n + 1:]]), min([low] + [b[2] for b in days[len(days) - n + 1:]])

    ema = sum(closes[:10]) / 10
    for c in closes[10:]:
        ema += 2 / 11 * (c - ema)
    steps = [b - a for a, b in zip(closes, closes[1:])]
    up, down = wilder([max(x, 0) for x in steps], 14), wilder([max(-x, 0) for x in steps], 14)
    h5, l5 = extent(5)
    h10, l10 = extent(10)
    h20, l20 = extent(20)
    vwap = pv / volume / 1e9 if volume else None
    return {"change_pct_1d": (price - days[-1][3]) / days[-1][3] * 100, "change_pct_5d": (price - days[-5][3]) / days[-5][3] * 100,
            "avg_volume_20d": sum(b[4] for b in days[-20:]) / 20, "range_5d": (h5 - l5) / 1e9, "range_pct_10d": (h10 - l10) / l10 * 100,
            "position_in_range_20d": (price - l20) / (h20 - l20) * 100, "biggest_range_1m": max(b[1] - b[2] for b in days[-21:]) / 1e9,
            "relative_range_pct": (high - low) / 1e9 / atr(days) * 100, "relative_volume_daily": volume / (sum(b[4] for b in days[-10:]) / 10) * 100,
            "relative_volume_same_time": same_time(ts, now, kept), "vwap_dist_1d": None if vwap is None else price / 1e9 - vwap,
            "vwap_dist_pct_1d": None if vwap is None else (price / 1e9 - vwap) / vwap * 100, "sma(5)@1d": sum(closes[-5:]) / 5,
            "ema(10)@1d": ema, "rsi(14)@1d": 100 if down == 0 else 100 - 100 / (1 + up / down), "atr(14)@1d": atr(bars)}


def ns(text):
    t = datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    return int(t.timestamp()) * 10**9 + int(text[20:29])


want = []
for s in symbols:
    days, ts, kept, fired, today = [tuple(d[1:]) for d in history[s]], [], [], -DAY, None
    for t, p, z in ((t, p, z) for t, x, p, z in trades if x == s):
        if today is not None and session(t)[2] != today:
            days += [bar(ts)] if bar(ts) else []
            kept, ts = keep_before(ts), []
        today = session(t)[2]
        ts.append((t, p, z))
        if t - fired >= 900 * 10**9:
            fired = t
            want.append((t, s, p, values(days, ts, t, kept)))
want.sort(key=lambda w: w[:2])
got.sort(key=lambda a: (ns(a["timestamp"]), a["symbol"]))
same = [(t, s) for t, s, _, _ in want] == [(ns(a["timestamp"]), a["symbol"]) for a in got]
ok(same and len(want) > 150, f"two days: the same {len(want)} alerts", f"{len(got)} here")
known = 0
for m in METRICS:
    bad = []
    for (t, s, _, v), a in zip(want, got) if same else ():
        g = a["metadata"][m]
        known += g is not None
        if (g is None) != (v[m] is None) or (g is not None and not math.isclose(g, v[m], rel_tol=1e-9, abs_tol=1e-9)):
            bad.append((a["timestamp"], s, g, v[m]))
    ok(same and not bad, f"{m} agrees at 1e-9", bad[:3])
ok(known > 14 * len(want), "nearly all of them have a value", known)
done()
