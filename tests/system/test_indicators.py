#!/usr/bin/env python3
"""`ringtape indicators`: columns by name, exact texts kept, clear refusals."""
from lib import *

rows = "Volume,CLOSE ,note,Low,High,Open\r\n1.5,10,\"a,b\",9,11,10\r\n\r\n2.25,12,x,10,12,11\r\n0,11,,11,12,12\r\n"
p = ringtape("indicators", write("bars.csv", "\ufeff" + rows), "--metric", "sma(2)", "--metric", "volume_avg_2", "--metric", "macd( 1, 2,1 )")
ok(p.stdout.splitlines() == ["\ufeffVolume,CLOSE ,note,Low,High,Open,sma(2),volume_avg_2,\"macd( 1, 2,1 )\"",
                             "1.5,10,\"a,b\",9,11,10,,,", "2.25,12,x,10,12,11,11,1.875,1", "0,11,,11,12,12,11.5,1.125,0"],
   "rows are kept, columns added, values exact", p.stdout)
plain = path("bars.csv")
subprocess.run(["zstd", "-qf", plain, "-o", path("bars.csv.zst")], check=True)
again = ringtape("indicators", path("bars.csv.zst"), "--metric", "sma(2)").stdout
ok(again == ringtape("indicators", plain, "--metric", "sma(2)").stdout and again, "a .zst gives the same")
piped = subprocess.run([BIN, "indicators", "-", "--metric", "sma(2)"], input=open(plain).read(), capture_output=True, text=True)
ok(piped.stdout == again, "standard input gives the same", piped.stderr)

p = ringtape("indicators", write("x.csv", "close,volume\n213.4500122070312,1000\n1.00000000049,0.000000000000000001\n1e-1,2.5\n"),
             "--metric", "sma(1)", "--metric", "volume_avg(1)")
ok([line.split(",")[2:] for line in p.stdout.splitlines()[1:]] == [["213.45001220699999", "1000"], ["1", "0"], ["0.10000000000000001", "2.5"]],
   "more decimals than prices have, or 64 bits have room for, are rounded", p.stdout)
p = ringtape("indicators", write("x.csv", "Date, Close ,volume\n1, 10, 5\n \t\n2,\t11 ,6\n"), "--metric", "sma(2)", "--metric", "obv")
ok(p.stdout.splitlines()[1:] == ["1, 10, 5,,0", "2,\t11 ,6,10.5,6"], "blanks around numbers, blank lines", p.stdout)


def refused(code, text, *args):
    p = ringtape("indicators", *args, code=None)
    ok(p.returncode == code and text in p.stderr and not p.stdout, f"refused: {text}", f"{p.returncode} {p.stderr}")


refused(2, "did you mean 'rsi'?", plain, "--metric", "rsii(14)")
refused(2, "did you mean 'bb'?", plain, "--metric", "BB(20,2)")
refused(2, "the file's bars are the timeframe", plain, "--metric", "rsi(14)@5m")
refused(2, "expected bb(n,m)", plain, "--metric", "bb(20,2).up")
refused(2, "--metric is missing", plain)
refused(2, "CSV is missing", "--metric", "sma(2)")
refused(3, "no column is named 'volume'", write("x.csv", "close\n1\n"), "--metric", "obv")
refused(3, "no column of the first 128 is named 'close'", write("x.csv", "x," * 200 + "close\n"), "--metric", "sma(2)")
refused(3, "line 3: close is '': it is empty", write("x.csv", "close,x\n1,1\n,2\n"), "--metric", "sma(2)")
refused(3, "two columns are named 'close'", write("x.csv", "close,Close\n1,2\n"), "--metric", "sma(2)")
refused(3, "it is too large", write("x.csv", "close\n9223372037.0000000001\n"), "--metric", "sma(2)")
refused(3, "it is too large", write("x.csv", "close,volume\n1,0.5\n1,99999999999999999999\n"), "--metric", "volume_avg(1)")
refused(3, "it is empty", write("x.csv", ""), "--metric", "sma(2)")
refused(3, "No such file", path("none.csv"), "--metric", "sma(2)")
listed = json.loads(ringtape("indicators", "--json").stdout)
text = ringtape("indicators", "--list").stdout
ok(len(listed) > 50 and all(i["form"] in text and i["help"] for i in listed), "the list has every indicator")
done()
