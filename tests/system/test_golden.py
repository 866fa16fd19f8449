#!/usr/bin/env python3
"""Indicators against the vectors of others: Stock.Indicators, Lean, Tulip, TA-Lib.

Each row below names a vector, the metric that reproduces it and where its values are. Vectors with full doubles have to
agree to 1e-9 of the value, others to a unit of the last digit that they print. A vector that is not used has its reason;
one with neither a row nor a reason is a failure, and so is a row without a vector."""
import math, re
from lib import *

GOLDEN = os.path.join(DATA, "golden")
need_data(GOLDEN)
COLUMNS = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}

# Stock.Indicators: vector -> {its field: metric}; the parameters are the library's defaults.
STOCK = {
    "adl": {"adl": "adl"},
    "adx": {"adx": "adx(14)", "pdi": "adx(14).pdi", "mdi": "adx(14).mdi", "dx": "adx(14).dx", "adxr": "adx(14).adxr"},
    "atr": {"tr": "tr", "atr": "atr(14)", "atrp": "atrp(14)"},
    "bb": {"sma": "bb(20,2).middle", "upperBand": "bb(20,2).upper", "lowerBand": "bb_20_2_lower", "percentB": "bb(20,2).pctb",
           "zScore": "bb(20,2).zscore", "width": "bb(20,2).width"},
    "bop": {"bop": "bop(14)"},
    "cci": {"cci": "cci(20)"},
    "cmf": {"cmf": "cmf(20)"},
    "corr": {"varianceB": "var(20)"},
    "donchian": {"upperBand": "donchian(20).upper", "centerline": "donchian(20).middle", "lowerBand": "donchian.lower",
                 "width": "donchian(20).width"},
    "ema": {"ema": "ema_20"},
    "ichimoku": {"tenkanSen": "midprice(9)", "kijunSen": "midprice(26)"},
    "kama": {"kama": "kama(10,2,30)"},
    "keltner": {"upperBand": "keltner(20,2,10).upper", "centerline": "keltner.middle", "lowerBand": "keltner.lower",
                "width": "keltner(20,2,10).width"},
    "macd": {"macd": "macd(12,26,9)", "signal": "macd_12_26_9_signal", "histogram": "macd.hist"},
    "obv": {"obv": "obv"},
    "psar": {"sar": "psar(0.02,0.2)"},
    "roc": {"roc": "roc(14)", "momentum": "mom(14)"},
    "rsi": {"rsi": "rsi_14"},
    "slope": {"slope": "linreg_slope(14)", "stdDev": "stddev(14)"},
    "sma": {"sma": "sma_20"},
    "sma-analysis": {"sma": "sma(20)"},
    "smma": {"smma": "smma(20)"},
    "stdev": {"stdDev": "stddev(14)", "mean": "sma(14)", "zScore": "zscore(14)"},
    "stoch": {"k": "stoch(14,3,3)", "d": "stoch(14,3,3).d", "j": "stoch.j"},
    "supertrend": {"superTrend": "supertrend(10,3)", "upperBand": "supertrend.upper", "lowerBand": "supertrend.lower"},
    "tr": {"tr": "tr"},
    "vwap": {"vwap": "vwap_typical"},
    "wma": {"wma": "wma(14)"},
}
STOCK_UNUSED = {
    "barpart": "prices themselves", "beta": "of two symbols", "prs": "of two symbols", "dynamic": "McGinley's mean is no indicator here", "fcb": "looks ahead", "fractal": "looks ahead", "pivots": "looks ahead",
    "zigzag-close": "looks ahead", "mama": "needs an arctangent", "pivot-points": "levels of calendar months",
    "rolling-pivots": "levels of rolling windows", "renko": "bricks, no bars", "renko-atr": "bricks, no bars",
    "stdev-channels": "drawn anew with each bar",
}

# Lean: file -> {column: metric}; (metric, factor) where the column is a multiple, e.g. a percent of our ratio.
LEAN = {
    "spx_lwma.csv": {"LWMA": "wma(6)"},
    "spy_ad.txt": {"AD": "adl"},
    "spy_aroon_oscillator.txt": {"Aroon Oscillator 14": "aroon_newest(14)"},
    "spy_atr.txt": {"Average True Range 14": "atr_sma(14)"},
    "spy_bollinger_bands.txt": {"Moving Average 20": "sma(20)", "Bollinger Bands® 20 2 Top": "bb(20,2).upper",
                                "Bollinger Bands® 20 2 Bottom": "bb(20,2).lower", "BandWidth": ("bb(20,2).width", 100), "%B": "bb(20,2).pctb"},
    "spy_cmo.txt": {"CMO_5": "cmo_wilder(5)"},
    "spy_hma.txt": {"HMA_16": "hma(16)"},
    "spy_mfi.txt": {"Money Flow Index 20": "mfi(20)"},
    "spy_midprice.txt": {"MIDPRICE_5": "midprice(5)"},
    "spy_min.txt": {"MIN_5": "min(5)"},
    "spy_sm.csv": {"mid_bb": "sma(20)", "bb high": "bb(20,2).upper", "bb low": "bb(20,2).lower"},
    "spy_tr.txt": {"TR": "tr"},
    "spy_trima.txt": {"TRIMA_5": "trima(5)", "TRIMA_6": "trima(6)"},
    "spy_ultosc.txt": {"ULTOSC_7_14_28": "ultosc(7,14,28)"},
    "spy_var.txt": {"Var": "var(10)"},
    "spy_with_adx.txt": {"TR": "tr", "+DI14": "adx(14).pdi", "-DI14": "adx(14).mdi", "DX": "adx(14).dx", "ADX 14": "adx(14)"},
    "spy_with_don50.txt": {"Donchian Channels 50 Top": "donchian_incl(50).upper", "Donchian Channels 50 Bottom": "donchian_incl(50).lower", "Donchian Channels 50 Mean": "donchian_incl(50).middle"},
    "spy_with_ibs.csv": {"IBS": "ibs"},
    "spy_with_ichimoku.csv": {"Tenkan": "midprice(9)", "Kijun": "midprice(26)"},
    "spy_with_indicators.txt": {"SMA14": "sma(14)", "EMA14": "ema(14)", "MACD 12 26": "macd(12,26,9)", "RSI 14 Wilder": "rsi(14)", "RSI 14": "rsi_sma(14)"},
    "spy_with_keltner.csv": {"Keltner Channels 20 Top": "keltner_sma(20,1.5).upper", "Keltner Channels 20 Bottom": "keltner_sma(20,1.5).lower", "Middle Band": "keltner_sma(20,1.5).middle"},
    "spy_with_macd.txt": {"MACD": "macd(12,26,9)", "Signal": "macd(12,26,9).signal", "Histogram": "macd(12,26,9).hist"},
    "spy_with_obv.txt": {"OBV": "obv_first"},
    "spy_with_rma.csv": {"SMA5": "sma(15)", "SMA10": "sma(10)", "SMA15": "sma(5)"},
    "spy_with_roc50.txt": {"Rate of Change 50": "mom(50)"},
    "spy_with_rocp50.txt": {"Rate of Change % 50": "roc(50)"},
    "spy_with_stoch12k3.txt": {"Stochastics 12 %K 3": "stoch(12,3,5).k", "%D 5": "stoch(12,3,5).d"},
    "spy_with_vwap.txt": {"Moving VWAP 50": "vwap_ohlc(50)"},
    "spy_with_vtx.csv": {"plus_vtx": "vortex(14).plus", "minus_vtx": "vortex(14).minus"},
}

# Tulip: its function -> (columns that it is given, our metric per output); {0}, {1}, {2} are its options.
TULIP = {
    "ad": ("hlcv", "adl"),
    "adx": ("hl", "adx_early({0})"),
    "adxr": ("hl", "adx_early({0}).adxr"),
    "aroon": ("hl", "aroon_newest({0}).down", "aroon_newest({0}).up"),
    "aroonosc": ("hl", "aroon_newest({0})"),
    "atr": ("hlc", "atr_hl({0})"),
    "bbands": ("c", "bb({0},{1}).lower", "bb({0},{1}).middle", "bb({0},{1}).upper"),
    "bop": ("ohlc", "bop(1)"),
    "cci": ("hlc", "cci({0})"),
    "cmf": ("hlcv", "cmf({0})"),
    "cmo": ("c", "cmo({0})"),
    "di": ("hlc", "adx_early({0}).pdi", "adx_early({0}).mdi"),
    "dx": ("hl", "adx_early({0}).dx"),
    "ema": ("c", "ema_first({0})"),
    "kama": ("c", "kama({0},2,30)"),
    "linreg": ("c", "linreg({0})"),
    "linregintercept": ("c", "linreg_intercept({0})"),
    "linregslope": ("c", "linreg_slope({0})"),
    "macd": ("c", "macd_first({0},{1},{2})", "macd_first({0},{1},{2}).signal", "macd_first({0},{1},{2}).hist"),
    "max": ("c", "max({0})"),
    "medprice": ("hl", "midprice(1)"),
    "mfi": ("hlcv", "mfi({0})"),
    "min": ("c", "min({0})"),
    "mom": ("c", "mom({0})"),
    "natr": ("hlc", "atrp_hl({0})"),
    "obv": ("cv", "obv"),
    "psar": ("hl", "psar_mid({0},{1})"),
    "roc": ("c", ("roc({0})", 0.01)),
    "rsi": ("c", "rsi({0})"),
    "sma": ("c", "sma({0})"),
    "stddev": ("c", "stddev({0})"),
    "stoch": ("hlc", "stoch({0},{1},{2}).k", "stoch({0},{1},{2}).d"),
    "tr": ("hlc", "atr_hl(1)"),
    "trima": ("c", "trima({0})"),
    "tsf": ("c", "tsf({0})"),
    "ultosc": ("hlc", "ultosc({0},{1},{2})"),
    "var": ("c", "var({0})"),
    "vwma": ("cv", "vwma({0})"),
    "wilders": ("c", "smma({0})"),
    "willr": ("hlc", "willr({0})"),
    "wma": ("c", "wma({0})"),
}

# TA-Lib: as Tulip's.
TALIB = {
    "Atr": ("hlc", "atr({0})"),
    "Kama": ("c", "kama({0},2,30)"),
    "Ma": ("c", "sma({0})"),
    "Macd": ("c", "macd_late(12,26,9)", "macd_late(12,26,9).signal", "macd_late(12,26,9).hist"),
    "MacdFix": ("c", "macd_fix({0})", "macd_fix({0}).signal", "macd_fix({0}).hist"),
    "MidPoint": ("c", "midpoint({0})"),
    "MidPrice": ("hl", "midprice({0})"),
    "MinMax": ("c", "min({0})", "max({0})"),
    "MinusDI": ("hlc", ("adx({0}).mdi", 0.01)),
    "Natr": ("hlc", "atr({0})"),
    "PlusDI": ("hlc", ("adx({0}).pdi", 0.01)),
    "SarExt": ("hl", "psar_dm(0.02,0.2)"),
    "StdDev": ("c", ("stddev({0})", 0.75)),
    "Stoch": ("hlc", "stoch({0},{1},{3}).k"),
    "StochF": ("hlc", "stoch({0},1,1).k"),
    "Trima": ("c", "trima({0})"),
}

# What is not used, and why.
NOT_HERE = "no indicator of ringtape"
LEAN_UNUSED = {
    "alpha_indicator_datatest.csv": "of two symbols", "bi_datatest.csv": "of two symbols", "arms_data.txt": "of several symbols",
    "mcclellan_data.csv": "of several symbols", "nhnl_data.csv": "of several symbols", "spy_ohlcv.txt": "bars without values",
    "spy_with_chop.csv": "needs a logarithm", "spy_logr14.txt": "needs a logarithm", "frama.txt": "needs an exponential",
    "spy_alma.txt": "needs an exponential", "spy_pso.csv": "needs an exponential", "spy_with_fisher.txt": "needs a logarithm",
    "spy_with_hilbert.csv": NOT_HERE, "spy_pivot_pnt_hl.txt": "looks ahead", "spy_candle_patterns.txt": "candle patterns",
    "spy_with_rsv.csv": "divided by the price, no stochastic",
    **{f: NOT_HERE for f in ("spy_aps.txt", "spy_rdv.txt", "spy_sortino.csv", "spy_sr.txt", "spy_t3.txt", "spy_tsi.csv",
                             "spy_with_McGinleyDynamic.csv", "spy_with_kvo.csv", "spy_with_sobv.csv", "td_sequential_test_data.csv",
                             "vp_datatest.csv")},
}
TULIP_UNUSED = {
    **{f: "arithmetic, no indicator" for f in """abs acos add asin atan ceil cos cosh crossany crossover decay div edecay exp floor lag ln
       log10 mul round sin sinh sqrt sub sum tan tanh todeg torad trunc""".split()},
    **{f: NOT_HERE for f in """abands adosc alma ao apo avgprice ce cvi dema dm dpo emv fosc ikhts kvo marketfi mass md nvi ppo pvi
       qstick rmta rocr stderr stochrsi tema trix typprice vhf vidya volatility vosc wad wcprice zlema""".split()},
}
TALIB_UNUSED = {
    "Bbands": "about a weighted mean", "MacdExt": "of other means",
    "RocR100": "a ratio, roc + 100", "Beta": "of two symbols", "Correl": "of two symbols",
    **{f: NOT_HERE for f in """Accbands AvgDev HtDcPeriod HtDcPhase HtPhasor HtSine HtTrendline HtTrendMode Mama Mavp MaxIndex MinIndex
       MinMaxIndex PlusDM Ppo T3""".split()},
}

# Vectors that are coarser than what they print: (vector, metric) -> how far a value may be off, and why.
COARSE = {
    ("lean/spx_lwma.csv", "wma(6)"): (1e-3, "the first were rounded to 2 places"),
    ("lean/spy_atr.txt", "atr_sma(14)"): (1e-5, "single precision"),
    ("lean/spy_bollinger_bands.txt", "bb(20,2).width"): (2e-4, "from bands of 4 places"),
    ("lean/spy_with_adx.txt", "adx(14).dx"): (1e-2, "printed with 2 places"),
    ("lean/spy_with_roc50.txt", "mom(50)"): (2e-5, "single precision"),
    ("lean/spy_with_rocp50.txt", "roc(50)"): (2e-5, "single precision"),
    ("lean/spy_with_stoch12k3.txt", "stoch(12,3,5).k"): (4e-4, "single precision"),
    ("lean/spy_with_stoch12k3.txt", "stoch(12,3,5).d"): (4e-4, "single precision"),
    ("lean/spy_with_indicators.txt", "macd(12,26,9)"): (2e-3, "single precision"),
    ("lean/spy_with_indicators.txt", "rsi_sma(14)"): (4e-4, "single precision"),
    ("lean/spy_with_macd.txt", "macd(12,26,9)"): (1e-5, "prices were rounded"),
    ("lean/spy_with_macd.txt", "macd(12,26,9).signal"): (1e-5, "prices were rounded"),
    ("lean/spy_with_macd.txt", "macd(12,26,9).hist"): (1e-5, "prices were rounded"),
    ("lean/spy_with_obv.txt", "obv_first"): (2000, "volumes are printed with 7 digits"),
    ("tulip/extra kama", "kama(4,2,30)"): (2e-4, "made by hand"),
    ("tulip/extra natr", "atrp_hl(4)"): (4e-4, "made by hand from an ATR of 4 digits"),
    ("tulip/extra cmo", "cmo(10)"): (4e-4, "from a book"),
}
# Vectors whose first values ours has not (ours has them from this row on), and why.
LATER = {
    "lean/spy_with_don50.txt": "channels of fewer than 50 bars", "lean/spy_with_rma.csv": "means over bars before the file's",
}

def unit(text, digits, places):
    """A unit of the last digit of a number in a column that prints so many digits, or so many places, at most."""
    x = abs(float(text))
    own = len(re.sub(r"[eE].*", "", text).partition(".")[2]) if "e" not in text.lower() else 0
    magnitude = math.floor(math.log10(x)) + 1 if x else 0
    fine = max(10.0 ** -places, 10.0 ** (magnitude - digits))
    return min(10.0 ** -own, fine) if "e" not in text.lower() else fine


def compare(vector, metric, want, got, signed=True):
    """want: the vector's texts, "" where it has none; got: ours. One TAP line."""
    numbers = [w for w in want if w]
    plain = [re.sub(r"[eE].*", "", w).lstrip("-") for w in numbers]
    digits = max(len(p.replace(".", "").lstrip("0")) for p in plain)
    places = max(len(p.partition(".")[2]) for p in plain)
    exact = digits >= 13 and (vector, metric) not in COARSE
    count, worst, trouble = 0, 0.0, []
    begun = not any(vector == v for v in LATER)
    for i, (w, g) in enumerate(zip(want, got)):
        begun = begun or g != ""
        if w == "" or not begun:
            continue
        if g == "":
            trouble.append(f"row {i}: no value, expected {w}")
            continue
        x, y = float(w), float(g)
        off = abs(y - x) if signed else abs(y - abs(x))
        scale = max(abs(x), 1e-3)
        most = COARSE[vector, metric][0] if (vector, metric) in COARSE else 1e-9 * scale if exact else unit(w, digits, places)
        if not off <= most * 1.0001:
            trouble.append(f"row {i}: {y!r}, expected {w}")
        count, worst = count + 1, max(worst, off / scale if exact else off)
    note = COARSE.get((vector, metric), (0, ""))[1] or ("1e-9" if exact else "printed digits")
    ok(count > 0 and not trouble, f"{vector}: {metric}: {count} values, worst {'relative ' if exact else ''}error {worst:.1e} ({note})",
       "\n".join(trouble))


def run(source, metrics):
    """Our values: a list of texts per metric."""
    out = ringtape("indicators", source, *(a for m in metrics for a in ("--metric", m))).stdout
    rows = list(csv.reader(out.splitlines()))[1:]
    return [[r[len(r) - len(metrics) + i] for r in rows] for i in range(len(metrics))]


def scaled(values, factor):
    return values if factor == 1 else [g and repr(float(g) * factor) for g in values]


def with_factor(m):
    return m if isinstance(m, tuple) else (m, 1)


def same_names(what, found, used, unused):
    """Every vector that there is has a row or a reason, and the other way round."""
    both = set(used) & set(unused)
    ok(set(found) == set(used) | set(unused) and not both, f"{what}: each of {len(set(found))} vectors has a row or a reason",
       f"without: {sorted(set(found) - set(used) - set(unused))}\nnot there: {sorted((set(used) | set(unused)) - set(found))}\n"
       f"both: {sorted(both)}")


def stock():
    folder = os.path.join(GOLDEN, "stock-indicators")
    names = [f.removesuffix(".standard.json.zst") for f in os.listdir(folder) if f.endswith(".json.zst")]
    same_names("stock-indicators", names, STOCK, STOCK_UNUSED)
    metrics = sorted({m for fields in STOCK.values() for m in fields.values()})
    source = os.path.join(folder, "quotes_default.csv")
    ours = dict(zip(metrics, run(source, metrics)))
    for name, fields in STOCK.items():
        rows = json.loads("".join(zstd_lines(os.path.join(folder, f"{name}.standard.json.zst"))))
        for field, metric in fields.items():
            want = ["" if r.get(field) is None else repr(r[field]) for r in rows]
            first = next(i for i, w in enumerate(want) if w)
            count = sum(1 for w in want if w)
            off = [abs(float(g) - float(w)) / max(abs(float(w)), 1e-3) for w, g in zip(want, ours[metric]) if w and g]
            ok([w == "" for w in want] == [g == "" for g in ours[metric]] and len(off) == count and max(off) <= 1e-9,
               f"stock-indicators/{name} {field}: {metric}: {count} values from row {first} on, worst relative error {max(off):.1e} (1e-9)")


def lean():
    folder = os.path.join(GOLDEN, "lean")
    same_names("lean", os.listdir(folder), LEAN, LEAN_UNUSED)
    for name, columns in LEAN.items():
        source = os.path.join(folder, name)
        rows = list(csv.reader(open(source, encoding="utf-8-sig")))
        head = [h.strip() for h in rows[0]]
        metrics = [with_factor(m) for m in columns.values()]
        for column, (metric, factor), got in zip(columns, metrics, run(source, [m for m, _ in metrics])):
            want = [r[head.index(column)].strip() for r in rows[1:] if r]
            if name in ("spx_lwma.csv",):  # 0 for no value
                want = ["" if w in ("0", "0.0") else w for w in want]
            compare(f"lean/{name}", metric, want, scaled(got, factor))


def arrays(vector, row, options, inputs, outputs):
    """A vector of arrays: our metrics over the inputs; outputs are aligned at the end."""
    columns, metrics = row[0], [with_factor(m) for m in row[1:]]
    metrics = [(m.format(*options), f) for m, f in metrics]
    source = write("vector.csv", "\n".join([",".join(COLUMNS[c] for c in columns)] + [",".join(r) for r in zip(*inputs)]) + "\n")
    if "c" not in columns:  # what the metrics read but do not use here
        source = write("vector.csv", "\n".join([",".join(COLUMNS[c] for c in columns) + ",close"] +
                                               [",".join(r) + "," + r[0] for r in zip(*inputs)]) + "\n")
    for (metric, factor), got, want in zip(metrics, run(source, [m for m, _ in metrics]), outputs):
        compare(vector, metric, [""] * (len(got) - len(want)) + want, scaled(got, factor), signed=vector != "talib/SarExt")


def tulip():
    found = set()
    for file in ("atoz", "extra"):
        vectors = []
        for line in map(str.strip, open(os.path.join(GOLDEN, "tulip", f"{file}.txt"))):
            if line.startswith("{"):
                vectors[-1][2].append([x.strip() for x in line.strip("{}").split(",")])
            elif line and not line.startswith("#"):
                name, *options = line.split()
                vectors.append((name, options, []))
        for name, options, data in vectors:
            found.add(name)
            if name in TULIP:
                n = len(TULIP[name][0])
                arrays(f"tulip/{file} {name}", TULIP[name], options, data[:n], data[n:])
    same_names("tulip", found, TULIP, TULIP_UNUSED)
    ok(sorted(os.listdir(os.path.join(GOLDEN, "tulip"))) == ["atoz.txt", "extra.txt"], "tulip: both files are read")


def talib():
    vectors = json.load(open(os.path.join(GOLDEN, "talib-netcore", "spy.json"), encoding="utf-8-sig"), parse_float=str, parse_int=str)["_"]
    same_names("talib", [v["name"] for v in vectors], TALIB, TALIB_UNUSED)
    for v in vectors:
        if v["name"] in TALIB:
            arrays("talib/" + v["name"], TALIB[v["name"]], v.get("options") or [], v["inputs"], v["outputs"])
    ok(os.listdir(os.path.join(GOLDEN, "talib-netcore")) == ["spy.json"], "talib: the file is read")


ok(sorted(os.listdir(GOLDEN)) == ["lean", "stock-indicators", "talib-netcore", "tulip"], "every folder of vectors is read")
stock()
lean()
tulip()
talib()
for title, table in (("stock-indicators", STOCK_UNUSED), ("lean", LEAN_UNUSED), ("tulip", TULIP_UNUSED), ("talib", TALIB_UNUSED)):
    for reason in sorted(set(table.values())):
        print(f"# {title}: not used: {reason}: {', '.join(n for n in table if table[n] == reason)}")
done()
