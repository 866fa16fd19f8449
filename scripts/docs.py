#!/usr/bin/env python3
"""Writes the generated parts of the documents: settings, metric catalogue, indicators, Prometheus metrics, a screen of top.
   scripts/docs.py          rewrites them          scripts/docs.py --check   only says whether they are current
What stands between `<!-- NAME: … -->` and `<!-- end NAME -->` is generated; the screen of top is not checked."""
import os, re, signal, subprocess, sys, tempfile, time, urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.path.join(ROOT, "build", "ringtape")
check = "--check" in sys.argv


def tool(*args):
    return subprocess.run([BIN, *args], capture_output=True, text=True, check=True).stdout.strip()


def free_port():
    import socket
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
    s.close()
    return port


def instance():
    """A screen of top, and the HELP lines of /metrics, from a short simulated run."""
    port = free_port()
    with tempfile.TemporaryDirectory() as tmp:
        p = subprocess.Popen([BIN, "run", "--source", "sim:symbols=2000,seed=1,start=2026-03-02T09:31:00-05:00,rate=3000,bad=0",
                              "--rules", os.path.join(ROOT, "scripts/demo-rules.json"), "--dir", f"{tmp}/demo", "--speed", "5",
                              "--set", f"http.port={port}", "--set", "toplists.enabled=true", "--set", f"sinks.jsonl={tmp}/alerts.jsonl"],
                             stderr=subprocess.DEVNULL)
        try:
            time.sleep(3 if check else 45)
            top = subprocess.run([BIN, "top", "--once", "--dir", "demo"], cwd=tmp, capture_output=True, text=True).stdout
            text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        finally:
            p.send_signal(signal.SIGINT)
            p.wait(30)
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    rows = ["| metric | kind | what |", "|---|---|---|"]
    rows += [f"| `{n}` | {kinds.get(n, '')} | {h} |" for n, h in re.findall(r"^# HELP (\S+) (.*)$", text, re.M)]
    return "```\n" + top.rstrip() + "\n```", "\n".join(rows)


top, prometheus = instance()
parts = {"detectors": tool("anomalies", "--markdown"), "settings": tool("config", "--docs"), "catalogue": tool("metrics", "--markdown"), "indicators": tool("indicators", "--markdown"), "prometheus": prometheus, "top": top}
stale = []
for name in ("README.md", "docs/operations.md", "docs/architecture.md", "docs/indicators.md", "docs/metrics.md", "docs/anomalies.md"):
    path = os.path.join(ROOT, name)
    old = open(path).read()
    new = old
    for key, body in parts.items():
        new = re.sub(rf"(<!-- {key}: [^\n]* -->\n).*?(<!-- end {key} -->)", lambda m: m[1] + body + "\n" + m[2] if not (check and key == "top") else m[0], new, flags=re.S)
    if new != old:
        stale.append(name)
        if not check:
            open(path, "w").write(new)
if check:
    print(("not ok" if stale else "ok") + " - the documents' generated parts are current" + (f": run scripts/docs.py ({', '.join(stale)})" if stale else ""))
    sys.exit(1 if stale else 0)
print("written:", ", ".join(stale) or "nothing had changed")
